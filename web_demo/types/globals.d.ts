/** Names that the page's modules use and that TypeScript's own libraries do not know. Development only. */
import * as tfjs from '@tensorflow/tfjs';

declare global {
  /** TensorFlow.js, as `loadTf` returns it: its parts are scripts that fill one global object. */
  type Tf = Omit<typeof tfjs, 'backend' | 'memory'> & {
    /** Each backend has members of its own: a device, a context, programs. */
    backend(): any;
    /** WebGL and WebGPU tell also what the GPU has allocated, each in its own word. */
    memory(): tfjs.MemoryInfo & { numBytesInGPUAllocated?: number; numBytesAllocatedInGPU?: number };
    wasm: typeof import('@tensorflow/tfjs-backend-wasm');
  };
  var tf: Tf;
  namespace tf {
    type Tensor = tfjs.Tensor;
    type Tensor1D = tfjs.Tensor1D;
    type Tensor4D = tfjs.Tensor4D;
    type Scalar = tfjs.Scalar;
    type Variable = tfjs.Variable;
    type LayersModel = tfjs.LayersModel;
  }
  /** Chart.js's constructor, as `loadChart` returns it. */
  type ChartConstructor = new (canvas: HTMLCanvasElement, configuration: object) => any;
  var Chart: ChartConstructor;

  interface Navigator {
    /** Gigabytes, in Chromium only. */
    readonly deviceMemory?: number;
  }
  /** In Chromium only. */
  function showSaveFilePicker(options: {
    suggestedName: string;
    types: Array<{ accept: Record<string, string[]> }>;
  }): Promise<FileSystemFileHandle>;
}
