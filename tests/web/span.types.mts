/** A use of every call of span.js, compiled by `npm run lint` against span.d.ts and never run. */
import {
  type BackendName,
  type Config,
  type FileResult,
  type Frame,
  type WrittenResult,
  type ImageSource,
  type LoadOptions,
  type Measurement,
  type Memory,
  type ModelArtifacts,
  type PixelResult,
  type Result,
  type Size,
  type Status,
  type Tile,
  type UpscaleOptions,
  Upscaler,
  loadUpscaler,
} from '../../web_demo/span.js';

/** Compiles only if the two types are the same. */
function same<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void {}

declare const artifacts: ModelArtifacts;
declare const images: {
  file: File;
  bitmap: ImageBitmap;
  data: ImageData;
  element: HTMLImageElement;
};
declare const canvas: HTMLCanvasElement;
declare const stream: FileSystemWritableFileStream;

export async function load(signal: AbortSignal): Promise<Upscaler> {
  const options: LoadOptions = {
    backend: 'auto',
    tile: 128,
    onStatus: tell,
    signal,
  };
  await loadUpscaler(artifacts, { backend: 'webgpu' });
  await loadUpscaler(new URL('model.json', document.baseURI));
  // @ts-expect-error there is no such backend
  await loadUpscaler('model.json', { backend: 'metal' });
  // @ts-expect-error a model is needed
  await loadUpscaler();
  return loadUpscaler('model.json', options);
}

function tell({ backend, tile, demoted, measured, notice }: Status): string {
  same<BackendName, 'webgpu' | 'webgl' | 'wasm' | 'cpu'>();
  const reasons: string[] = demoted.map((one) => `${one.backend satisfies BackendName}: ${one.reason}`);
  const milliseconds: number | undefined = measured.webgl;
  return [backend, tile.toFixed(), milliseconds?.toFixed(), notice?.trim(), ...reasons].join();
}

export function describe(upscaler: Upscaler): string {
  const { scale, channels, blocks, variant, imgRange, rgbMean, halo }: Config = upscaler.config;
  same<typeof scale, number>();
  same<typeof variant, 'span' | 'official'>();
  // @ts-expect-error what the worker told is not for others to change
  upscaler.status = upscaler.status;
  const numbers: number[] = [upscaler.scale, channels, blocks, imgRange, ...rgbMean, halo];
  return `${tell(upscaler.status)} ${numbers.join()}`;
}

export async function upscale(upscaler: Upscaler, signal: AbortSignal): Promise<void> {
  const others = [
    document.createElement('video'),
    new OffscreenCanvas(1, 1),
    'image.png',
    new URL('https://a.example/'),
  ];
  const sources: ImageSource[] = [...Object.values(images), canvas, new Blob(), ...others];
  for (const source of sources) await upscaler.upscale(source);

  const file = await upscaler.upscale(images.file, {
    signal,
    output: 'png',
    onProgress: ({ done, total }) => done.toFixed() + total.toFixed(),
    onSize: ({ width, height, alpha, colorSpace }: Size) => new ImageData(alpha ? width : 1, height, { colorSpace }),
    onTile: ({ x, y, width, height, bitmap }: Tile) => {
      canvas.getContext('2d')?.drawImage(bitmap, x, y, width, height);
      bitmap.close();
    },
  });
  same<typeof file, FileResult>();
  const blob: Blob = file.blob;
  const written = await upscaler.upscale(images.file, { write: stream });
  same<typeof written, WrittenResult>();
  const { milliseconds, tiles, backend, memory, ...size }: Result = file;
  size satisfies Size;
  tell({
    backend,
    tile: tiles + milliseconds + memory.bytes,
    demoted: [],
    measured: {},
    notice: blob.type,
  });

  const options: UpscaleOptions = {};
  (await upscaler.upscale(images.file, options)) satisfies FileResult | WrittenResult;

  const pixels = await upscaler.upscale(images.data, { output: 'pixels' });
  same<typeof pixels, PixelResult>();
  new ImageData(pixels.data, pixels.width, pixels.height);
  // @ts-expect-error pixels are no file
  pixels.blob;
  // @ts-expect-error there is no such output
  await upscaler.upscale(images.file, { output: 'jpeg' });
  // @ts-expect-error a number is not an image
  await upscaler.upscale(5);
}

export async function measure(upscaler: Upscaler, signal: AbortSignal): Promise<number> {
  const { width, height, scale, bytes, gpuBytes, milliseconds, ...figures }: Measurement = await upscaler.measure(
    images.file,
    { signal },
  );
  const { tensors, bytes: resting }: Memory = await upscaler.memory();
  same<ReturnType<Upscaler['dispose']>, void>();
  upscaler.dispose();
  const gain: number = figures.span.psnrY - figures.bicubic.psnrY + figures.span.ssimY + figures.span.psnrRgb;
  return gain + width * height * scale + bytes + gpuBytes + milliseconds + tensors + resting;
}

export async function frame(upscaler: Upscaler, video: HTMLVideoElement, texture: GPUTexture): Promise<number> {
  const { width, height, milliseconds, kernels }: Frame = await upscaler.frame(video, { target: canvas });
  await upscaler.frame(images.element, { target: new OffscreenCanvas(1, 1) });
  const device = {} as GPUDevice;
  await upscaler.frame(texture, { target: texture, device });
  // @ts-expect-error a target is needed
  await upscaler.frame(video);
  return width + height + milliseconds + kernels.length;
}
