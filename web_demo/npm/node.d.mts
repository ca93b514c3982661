/** Types of node.mjs: upscale pixels with a SPAN network in Node. */
import type { Config, ModelArtifacts } from '../span.js';

export type { Config, ModelArtifacts };

declare global {
  // TypeScript before 6 does not know it.
  interface GPU {}
}

export interface Image {
  /** RGBA, straight alpha */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

export interface NodeOptions {
  /** by default that of `navigator` */
  gpu?: GPU;
  /** side of the tiles in pixels of the input */
  tile?: number;
  /** as in a page */
  precision?: 'float32' | 'float16';
}

/**
 * Load a model.
 * @param model path or `file:` address of a `model.json`, or its content
 */
export function loadUpscaler(model: string | URL | ModelArtifacts, options?: NodeOptions): Promise<NodeUpscaler>;

/** A loaded model on the GPU; `loadUpscaler` makes one. */
export class NodeUpscaler {
  private constructor();
  readonly config: Config;
  upscale(
    image: Image,
    options?: { signal?: AbortSignal; onProgress?: (progress: { done: number; total: number }) => void },
  ): Promise<Image & { data: Uint8ClampedArray<ArrayBuffer> }>;
  /** Free the GPU. */
  dispose(): void;
}
