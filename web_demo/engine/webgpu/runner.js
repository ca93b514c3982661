/** Runs a program's dispatches for one tile after another on buffers that grow to the largest tile. */
import { BUFFERS, planSteps } from './plan.js';
import { TILE_BYTES, tileValues } from './tile.js';

/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./shaders/first.js').Input} Input */
/** @typedef {import('./shaders/epilogue.js').Output} Output */
/** @typedef {{kind: Input, resource: GPUBuffer | GPUTextureView}} Source */
/** @typedef {{kind: Output, resource: GPUBuffer | GPUTextureView}} Target */

/** Bytes of the status of a pass. */
export const STATUS_BYTES = 4;

export class Runner {
  /** Bytes of each buffer. */
  #capacity = 0;
  /** For what the buffers hold zeros around the tile, if they do. */
  #zeroed = '';
  /** @type {Map<import('./plan.js').BufferName, GPUBuffer>} */
  #buffers = new Map();
  /** Bind groups of the steps between, by program and number of blocks. @type {Map<Program, Map<number, GPUBindGroup[]>>} */
  #between = new Map();
  #uniform;
  /** Of the last pass: bits of `STATUS`, in one u32. @type {GPUBuffer} */
  #status;

  /**
   * @param {import('./arena.js').Arena} arena
   * @param {import('../../network/model.js').SpanConfig} config
   */
  constructor(arena, config) {
    this.arena = arena;
    this.config = config;
    this.#uniform = arena.uniform(TILE_BYTES);
    this.#status = arena.storage(STATUS_BYTES);
  }

  /**
   * Put one pass into the queue. Uploads and passes run in the order of their calls, so calls may follow at once.
   * @param {Program} program prepared for these kinds
   * @param {Source} source
   * @param {Target} target
   * @param {import('./tile.js').Tile} tile
   * @param {object} [options]
   * @param {number} [options.blocks] fewer than the network has
   * @param {(encoder: GPUCommandEncoder, status: GPUBuffer) => void} [options.after] adds what follows the pass; the bits
   *   of `STATUS` tell how it went
   */
  submit(program, source, target, tile, { blocks = this.config.blocks, after = () => {} } = {}) {
    const { device } = this.arena;
    const { layout } = program.set;
    const bytes = layout.bytes(this.config.channels, tile.width, tile.height);
    this.#reserve(bytes);
    device.queue.writeBuffer(this.#uniform, 0, tileValues(tile, this.config.scale));
    const steps = planSteps(blocks);
    const between = this.#bindBetween(program, steps);
    const encoder = device.createCommandEncoder();
    const zeroed = layout.bordered ? `${program.set.name} ${tile.width}×${tile.height}` : '';
    if (zeroed && zeroed !== this.#zeroed) {
      for (const buffer of this.#buffers.values()) encoder.clearBuffer(buffer, 0, bytes);
    }
    this.#zeroed = zeroed;
    encoder.clearBuffer(this.#status);
    const pass = encoder.beginComputePass();
    steps.forEach((step, i) => {
      const { kernel, pipeline } = program.compiled(step, source.kind, target.kind);
      pass.setPipeline(pipeline);
      const atEnds = i === 0 || i === steps.length - 1;
      pass.setBindGroup(0, atEnds ? this.#bind(program, step, source, target) : between[i - 1]);
      pass.dispatchWorkgroups(...kernel.groups(tile.width, tile.height));
    });
    pass.end();
    after(encoder, this.#status);
    device.queue.submit([encoder.finish()]);
  }

  /** Copy the status of the last pass. @param {GPUBuffer} target */
  copyStatus(target) {
    const encoder = this.arena.device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#status, 0, target, 0, STATUS_BYTES);
    this.arena.device.queue.submit([encoder.finish()]);
  }

  /** Forget a program that will not be used again. @param {Program} program */
  forget(program) {
    this.#between.delete(program);
  }

  /** Free the buffers; the next tile creates them anew. Work that was submitted is done all the same. */
  rest() {
    for (const buffer of this.#buffers.values()) this.arena.free(buffer);
    this.#buffers.clear();
    this.#between.clear();
    this.#capacity = 0;
    this.#zeroed = '';
  }

  #reserve(bytes) {
    if (bytes <= this.#capacity) return;
    this.rest();
    this.#buffers = new Map(BUFFERS.map((name) => [name, this.arena.storage(bytes)]));
    this.#capacity = bytes;
  }

  #bindBetween(program, steps) {
    const known = this.#between.get(program) ?? new Map();
    this.#between.set(program, known);
    if (!known.has(steps.length)) {
      const none = { kind: /** @type {any} */ (''), resource: /** @type {any} */ (null) };
      known.set(
        steps.length,
        steps.slice(1, -1).map((step) => this.#bind(program, step, none, none)),
      );
    }
    return /** @type {GPUBindGroup[]} */ (known.get(steps.length));
  }

  #bind(program, step, source, target) {
    const { kernel, pipeline } = program.compiled(step, source.kind, target.kind);
    const [weights, biases] = program.weights(step, kernel);
    const resourceOf = (name) => this.#buffers.get(name) ?? (name === 'source' ? source : target).resource;
    const resources = [step.input, weights, biases, step.output, this.#uniform, ...step.extras];
    if (step.kind === 'last') resources.push(this.#status);
    return this.arena.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((named, binding) => {
        const found = typeof named === 'string' ? resourceOf(named) : named;
        return { binding, resource: 'size' in found ? { buffer: found } : found };
      }),
    });
  }
}
