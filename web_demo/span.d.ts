/** Types of span.js: upscale images with a SPAN network in the browser. Written by declare.mjs. */

declare global {
  // TypeScript before 6 does not know them.
  interface GPUDevice {}
  interface GPUTexture {}
}

export type BackendName = 'webgpu' | 'webgl' | 'wasm' | 'cpu';

export type Status = {
  /** the one in use */
  backend: BackendName;
  /** side of its tiles in pixels of the input */
  tile: number;
  /** backends that were tried and are not used, and why */
  demoted: Array<{
    backend: BackendName;
    reason: string;
  }>;
  /** milliseconds of the probe by backend, where some were compared */
  measured: Partial<Record<BackendName, number>>;
  /** of our own on WebGPU: adapter, kernel sets and, once measured, their time; for reports */
  kernels?: string;
  /** what just changed, as a sentence */
  notice?: string;
  /** one that proved faster and is used as soon as the calls under way are done */
  faster?: BackendName;
};

export type Frame = {
  /** of the result */
  width: number;
  height: number;
  /** of the call: until the frame was handed to the GPU, and the one before it was drawn */
  milliseconds: number;
  /** adapter, kernel sets and, once measured, their time; for reports */
  kernels: string;
};

export type FrameSource =
  HTMLVideoElement | VideoFrame | ImageBitmap | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | GPUTexture;

export type Measurement = {
  /** of the shrunk image */
  width: number;
  height: number;
  scale: number;
  /** with shaders compiled */
  milliseconds: number;
  /** the most that tensors took during the run */
  bytes: number;
  /** the most that the GPU had allocated; 0 where the backend does not tell */
  gpuBytes: number;
  bicubic: Figures;
  span: Figures;
};

export type Figures = {
  /** dB */
  psnrY: number;
  ssimY: number;
  /** dB */
  psnrRgb: number;
};

export type ImageSource =
  | Blob
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | SVGImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame
  | string
  | URL;

export type ModelArtifacts = {
  modelTopology: object;
  weightSpecs: WeightSpec[];
  weightData: ArrayBuffer;
  userDefinedMetadata?: Record<string, any>;
};

export type WeightSpec = {
  name: string;
  shape: number[];
  dtype: 'float32' | 'int32' | 'bool' | 'string' | 'complex64';
  quantization?: {
    dtype: 'float16' | 'uint8' | 'uint16';
    scale?: number;
    min?: number;
  };
};

export type Config = SpanConfig;

export type SpanConfig = {
  /** from 1, a restorer, to `MAX_SCALE` */
  scale: number;
  channels: number;
  blocks: number;
  variant: 'span' | 'official';
  /** the network sees `(rgb - rgbMean) * imgRange`, rgb in [0, 1] */
  imgRange: number;
  /** one value per input channel */
  rgbMean: number[];
  /** 1 grey, 3 RGB, 4 RGB and alpha; 3 where it is missing, like `outChannels` */
  inChannels?: number;
  /** one of `CHANNEL_PAIRS` with `inChannels` */
  outChannels?: number;
  /** pixels of the input that a pixel of the result depends on, on every side: see `haloOf` */
  halo: number;
  /** the self-check */
  golden?: Golden;
};

export type Golden = {
  /** (height, width, inChannels) */
  inputShape: number[];
  /** levels 0..255, in base64 */
  input: string;
  /** (height · scale, width · scale, outChannels) */
  outputShape: number[];
  /** float32 values, in base64 */
  output: string;
  /** largest difference that is allowed */
  tolerance: number;
};

export type LoadOptions = {
  /**
   * where to begin in the chain WebGPU, WebGL, WebAssembly, JavaScript; 'auto',
   * the default, takes the first that works, and changes over when a GPU has proved faster; a page's browser remembers
   * that for the next visit
   */
  backend?: 'auto' | BackendName;
  /** side of the tiles in pixels of the input; by default what suits the backend */
  tile?: number;
  /**
   * the lowest of the factors that are multiplied on WebGPU; 'float32' is the
   * default. With 'float16' a GPU's matrix units are used where the browser offers them: results are half a level off
   * at most on photographs, and more where a picture is noise.
   */
  precision?: 'float32' | 'float16';
  /**
   * called when another backend or tile is taken, as after a lost GPU, when
   * kernels were measured, and when a GPU has been compared
   */
  onStatus?: (status: Status) => void;
  /**
   * gives the load up and ends its worker; the promise rejects with its reason, an
   * `AbortError` unless another is given
   */
  signal?: AbortSignal;
};

export type FrameOptions = {
  /** what is drawn into */
  target: FrameTarget;
  /** of the page, which textures belong to; the same in every call. By default an own one */
  device?: GPUDevice;
};

export type FrameTarget = HTMLCanvasElement | OffscreenCanvas | GPUTexture;

export type Size = {
  width: number;
  height: number;
  /** whether any pixel is transparent */
  alpha: boolean;
  colorSpace: PredefinedColorSpace;
};

export type Tile = {
  x: number;
  y: number;
  width: number;
  height: number;
  /** close it when it is drawn */
  bitmap: ImageBitmap;
};

export type Memory = {
  tensors: number;
  bytes: number;
};

export type Work = {
  /** from the first tile to the last */
  milliseconds: number;
  tiles: number;
  backend: BackendName;
  memory: Memory;
  /** sentences about what of the image is not in the result */
  notes: string[];
};

export type Result = Size & Work;

export type PngFile = {
  /** the PNG file, with the colour profile and the metadata of the input, and 16 bits if that is a PNG of 16 */
  blob: Blob;
};

export type Written = {
  /** `write` took the file */
  blob: null;
};

export type Pixels = {
  /** RGBA, straight alpha */
  data: Uint8ClampedArray<ArrayBuffer>;
};

export type FileResult = Result & PngFile;

export type WrittenResult = Result & Written;

export type PixelResult = Result & Pixels;

export type ResultOf<Output, Write> = Output extends 'pixels'
  ? PixelResult
  : Write extends WritableStream
    ? WrittenResult
    : FileResult;

/**
 * Load a model and take a backend that reproduces its self-check.
 * @param {string | URL | ModelArtifacts} model address of a `model.json`, or its content
 * @param {LoadOptions} [options]
 * @returns {Promise<Upscaler>} rejects with a `ModelError` if the model cannot be used or no backend runs it, and with a
 *   `TypeError` for options that there are not
 */
export declare function loadUpscaler(
  model: string | URL | ModelArtifacts,
  { backend, tile, precision, onStatus, signal }?: LoadOptions,
): Promise<Upscaler>;

/** A loaded model on a backend in a worker; `loadUpscaler` makes one. */
export declare class Upscaler {
  #private;
  /** What the model is. @returns {Config} */
  get config(): Config;
  /** The backend in use, and why not another. @returns {Status} */
  get status(): Status;
  /** How many times larger the result's sides are. @returns {number} */
  get scale(): number;
  /**
   * Upscale one image. Calls made meanwhile wait for their turn.
   * @template {'png' | 'pixels'} [Output='png']
   * @template {WritableStream<Uint8Array> | undefined} [Write=undefined]
   * @param {ImageSource} image
   * @param {UpscaleOptions<Output, Write>} [options]
   * @returns {Promise<ResultOf<Output, Write>>} rejects with a `TypeError` for what is no image and for options that there are not
   */
  upscale<Output extends 'png' | 'pixels' = 'png', Write extends WritableStream<Uint8Array> | undefined = undefined>(
    image: ImageSource,
    options?: UpscaleOptions<Output, Write>,
  ): Promise<ResultOf<Output, Write>>;
  /**
   * Measure quality and speed on an original: it is shrunk, enlarged and compared.
   * @param {Blob} original
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Measurement>}
   */
  measure(
    original: Blob,
    {
      signal,
    }?: {
      signal?: AbortSignal;
    },
  ): Promise<Measurement>;
  /**
   * Enlarge a frame of a video on the GPU, from the page's own thread. It needs WebGPU. Frames are opaque sRGB of 8 bits:
   * transparency is dropped, and grey may get a tint, which `upscale` prevents. Wait for the promise before the next call
   * and leave out what frames come meanwhile, and the video does not lag: at most one frame waits for the one before it.
   * @param {FrameSource} source keep it open and as it is until the promise resolves
   * @param {FrameOptions} options
   * @returns {Promise<Frame>} when the frame was handed to the GPU, and the one before it is drawn. Rejects for this
   *   frame alone with a `TypeError` for an argument of a wrong kind, and with an `Error` for what cannot be drawn; if the
   *   GPU failed, perhaps with the frame before, the next call starts anew; with an `AbortError` after `dispose`.
   */
  frame(source: FrameSource, options: FrameOptions): Promise<Frame>;
  /** What is allocated on the backend now. @returns {Promise<Memory>} */
  memory(): Promise<Memory>;
  /** End the worker and free all it holds; calls under way and later ones reject with an `AbortError`. */
  dispose(): void;
}

export type UpscaleOptions<
  Output extends 'png' | 'pixels' = 'png',
  Write extends WritableStream<Uint8Array> | undefined = WritableStream<Uint8Array> | undefined,
> = {
  /** cancels within one tile; the promise rejects with an `AbortError` */
  signal?: AbortSignal;
  /** average over the image's eight orientations: slightly better, and eight times slower */
  tta?: boolean;
  /** a PNG file as a Blob, the default, or RGBA values */
  output?: Output;
  /** in pixels, to which the result is reduced if it is wider; the sides keep their proportion */
  width?: number;
  /** tiles done */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** called before the first tile, with the size of all tiles together */
  onSize?: (size: Size) => void;
  /** called with each finished tile */
  onTile?: (tile: Tile) => void;
  /**
   * takes the PNG file as it is made, for results larger than memory; `blob`
   * is then null. It is closed before the promise resolves, and aborted if it rejects. While it is being closed,
   * `signal` has no effect any more.
   */
  write?: Write;
};
