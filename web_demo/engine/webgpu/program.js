/** One set of kernels, compiled for a device, with a network's weights. */
import { packBias, packKernel } from './packing.js';
import { kernelsOf } from './sets.js';

/** @typedef {import('./shaders/first.js').Input} Input */
/** @typedef {import('./shaders/epilogue.js').Output} Output */
/** @typedef {import('./shaders/source.js').Kernel} Kernel */
/** @typedef {{kernel: Kernel, pipeline: GPUComputePipeline}} Compiled */

export class Program {
  /** @type {Map<string, Promise<Compiled>>} */
  #compiling = new Map();
  /** @type {Map<string, Compiled>} */
  #compiled = new Map();
  /** @type {Map<object, GPUBuffer[]>} weights and biases by convolution and kernel */
  #weights = new Map();

  /**
   * @param {import('./arena.js').Arena} arena
   * @param {ReturnType<typeof import('./weights.js').convolutionsOf>} convolutions
   * @param {import('../../network/model.js').SpanConfig} config
   * @param {import('./sets.js').KernelSet} set
   */
  constructor(arena, convolutions, config, set) {
    this.arena = arena;
    this.convolutions = convolutions;
    this.set = set;
    this.kernels = kernelsOf(set, config);
  }

  /**
   * Compile what a pass needs, in parallel; what is compiled already costs nothing.
   * @param {Input} source
   * @param {Output} target
   * @returns {Promise<void>}
   * @throws {Error} a shader does not compile
   */
  async prepare(source, target) {
    const { first, activate, attend, merge, last } = this.kernels;
    const makers = {
      activate: () => activate,
      attend: () => attend,
      merge: () => merge,
      [`first ${source}`]: () => first(source),
      [`last ${target}`]: () => last(target),
    };
    await Promise.all(Object.entries(makers).map(([name, make]) => this.#compile(name, make)));
  }

  /** @param {string} name @param {() => Kernel} make */
  #compile(name, make) {
    let compiling = this.#compiling.get(name);
    if (!compiling) {
      const kernel = make();
      const { device } = this.arena;
      device.pushErrorScope('validation'); // else a shader that one device does not take would count as its loss
      const module = device.createShaderModule({ label: `${this.set.name} ${name}`, code: kernel.code });
      const compute = { module, entryPoint: 'main' };
      compiling = device.createComputePipelineAsync({ label: name, layout: 'auto', compute }).then((pipeline) => {
        const compiled = { kernel, pipeline };
        this.#compiled.set(name, compiled);
        return compiled;
      });
      device.popErrorScope();
      this.#compiling.set(name, compiling);
    }
    return compiling;
  }

  /**
   * @param {import('./plan.js').Step} step
   * @param {Input} source
   * @param {Output} target
   * @returns {Compiled} of a step, prepared before
   */
  compiled({ kind }, source, target) {
    const names = { first: `first ${source}`, last: `last ${target}` };
    return /** @type {Compiled} */ (this.#compiled.get(names[kind] ?? kind));
  }

  /**
   * @param {import('./plan.js').Step} step
   * @param {Kernel} kernel
   * @returns {GPUBuffer[]} weights and biases of a step
   */
  weights({ kind, place: [block, index] }, kernel) {
    const { blocks, ...others } = this.convolutions;
    const convolution = block === undefined ? others[kind] : blocks[block][/** @type {number} */ (index)];
    let buffers = this.#weights.get(convolution);
    if (!buffers) {
      const packed = [packKernel(convolution, kernel), packBias(convolution, kernel.division)];
      buffers = packed.map((values) => this.arena.upload(values));
      this.#weights.set(convolution, buffers);
    }
    return buffers;
  }

  /** Free the weights. */
  dispose() {
    for (const buffer of [...this.#weights.values()].flat()) this.arena.free(buffer);
    this.#weights.clear();
  }
}
