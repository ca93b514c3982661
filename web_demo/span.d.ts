/** Types of span.js: upscale images with a SPAN network in the browser. */

export type BackendName = 'webgpu' | 'webgl' | 'wasm' | 'cpu';

export interface Status {
  /** The backend in use. */
  backend: BackendName;
  /** Side of its tiles in pixels of the input. */
  tile: number;
  /** Backends that were tried and are not used, and why. */
  demoted: Array<{ backend: BackendName; reason: string }>;
  /** Milliseconds of the probe by backend, where backends were compared. */
  measured: Partial<Record<BackendName, number>>;
  /** What just changed, as a sentence. */
  notice?: string;
}

export interface Config {
  scale: 2 | 3 | 4;
  channels: number;
  blocks: number;
  variant: 'span' | 'official';
  imgRange: number;
  rgbMean: number[];
  /** Pixels of the input that a pixel of the result depends on, on every side. */
  halo: number;
}

/** What TensorFlow.js holds of a model in memory. */
export interface ModelArtifacts {
  modelTopology: object;
  weightSpecs: object[];
  weightData: ArrayBuffer;
  userDefinedMetadata?: object;
}

export interface LoadOptions {
  /** Where to begin in the chain WebGPU, WebGL, WebAssembly, JavaScript; 'auto' (the default) takes the fastest. */
  backend?: 'auto' | BackendName;
  /** Side of the tiles in pixels of the input; by default what suits the backend. */
  tile?: number;
  /** Called when another backend or tile size is taken, for instance after a lost GPU. */
  onStatus?: (status: Status) => void;
  /** Gives the load up and ends its worker; the promise rejects with its reason, an `AbortError` unless another is given. */
  signal?: AbortSignal;
}

export interface Tile {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Close it when it is drawn. */
  bitmap: ImageBitmap;
}

export interface UpscaleOptions<Output extends 'png' | 'pixels' = 'png'> {
  /** Cancels within one tile; the promise rejects with an `AbortError`. */
  signal?: AbortSignal;
  /** A PNG file (the default) or RGBA values. */
  output?: Output;
  /** Tiles done. */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** Size of the result, before the first tile. */
  onSize?: (size: Size) => void;
  /** A finished part of the result. */
  onTile?: (tile: Tile) => void;
  /**
   * Takes the PNG file as it is made, for results larger than memory; `blob` is then null. It is closed before the
   * promise resolves, and aborted if it rejects. While it is being closed, `signal` has no effect any more.
   */
  write?: WritableStream<Uint8Array>;
}

export interface Size {
  width: number;
  height: number;
  alpha: boolean;
  colorSpace: PredefinedColorSpace;
}

export interface Result extends Size {
  /** Time from the first tile to the last. */
  milliseconds: number;
  tiles: number;
  backend: BackendName;
  memory: Memory;
}

export interface FileResult extends Result {
  /** The PNG file, with the colour profile of the input; null if `write` took it. */
  blob: Blob | null;
}

export interface PixelResult extends Result {
  /** RGBA, straight alpha. */
  data: Uint8ClampedArray;
}

export interface Memory {
  tensors: number;
  bytes: number;
}

export interface Figures {
  /** dB */
  psnrY: number;
  ssimY: number;
  /** dB */
  psnrRgb: number;
}

export interface Measurement {
  /** Size of the shrunk image. */
  width: number;
  height: number;
  scale: number;
  milliseconds: number;
  /** The most that tensors took during the run. */
  bytes: number;
  /** The most that the GPU had allocated; 0 where the backend does not tell. */
  gpuBytes: number;
  bicubic: Figures;
  span: Figures;
}

export class Upscaler {
  readonly scale: number;
  readonly config: Config;
  readonly status: Status;
  /** Upscale one image; calls made meanwhile wait for their turn. */
  upscale(image: ImageSource, options: UpscaleOptions<'pixels'> & { output: 'pixels' }): Promise<PixelResult>;
  upscale(image: ImageSource, options?: UpscaleOptions): Promise<FileResult>;
  /** Shrink an original, enlarge it again, and compare. */
  measure(original: Blob, options?: { signal?: AbortSignal }): Promise<Measurement>;
  /** What is allocated on the backend now. */
  memory(): Promise<Memory>;
  /** End the worker and free all that it holds; calls under way reject with an `AbortError`. */
  dispose(): void;
}

export type ImageSource = Blob | ImageBitmap | ImageData | HTMLImageElement | HTMLCanvasElement;

/** Load a model and take the best backend that reproduces its self-check. */
export function loadUpscaler(model: string | URL | ModelArtifacts, options?: LoadOptions): Promise<Upscaler>;
