/** The worker of `span.js`: an `Engine`, so that the page goes on meanwhile. */
import { Engine } from './engine/engine.js';
import { PngEncoder } from './engine/png.js';
import { loadAhead } from './engine/running-model.js';
import { fetchModel } from './network/model.js';
import { notify, serve, withTransfer } from './rpc.js';

const engine = new Engine((status) => notify('status', status));

serve({
  async load({ url, artifacts = null, options }) {
    loadAhead(options);
    const model = artifacts ?? (await fetchModel(url));
    const loaded = await engine.load(model, options);
    const isCompared = options.backend === 'auto' && loaded.status.backend !== options.first;
    return isCompared && !artifacts ? { ...loaded, artifacts: model } : loaded;
  },

  rival: ({ artifacts, options }) => engine.rival(artifacts, options),

  async upscale({ source, output, width, write, preview, tta }, { signal, emit }) {
    const writer = write?.getWriter();
    const options = {
      signal,
      tta,
      width,
      write: writer && ((bytes) => writer.write(bytes)),
      onSize: (size) => emit('size', size),
      onProgress: (progress) => emit('progress', progress),
      onTile: preview ? (tile) => sendTile(tile, emit) : undefined,
    };
    try {
      const result = await (output === 'pixels' ? engine.pixels(source, options) : engine.upscale(source, options));
      await writer?.close();
      const answer = { ...result, backend: engine.status.backend, memory: engine.memory };
      return withTransfer(answer, 'data' in result ? [result.data.buffer] : []);
    } catch (error) {
      writer?.abort(error).catch(() => {}); // not waited for: it waits for what the page may never take
      throw error;
    }
  },

  async measure({ source }, { signal }) {
    const { measure } = await import('./engine/measure.js');
    return measure(engine, source, signal);
  },

  memory: () => engine.memory,
});

/** A tile goes out as a bitmap: it crosses without a copy and is drawn without decoding. */
async function sendTile({ x, y, width, height, colorSpace, icc, data }, emit) {
  const tile = icc ? await toFile(width, height, data, icc) : new ImageData(data, width, height, { colorSpace });
  const bitmap = await createImageBitmap(tile);
  emit('tile', { x, y, width, height, bitmap }, [bitmap]);
}

/** A profile that no canvas has: browsers apply it only where they decode a file. */
async function toFile(width, height, data, icc) {
  const encoder = new PngEncoder(width, height, { alpha: true, icc });
  await encoder.rows(data);
  return /** @type {Blob} */ (await encoder.finish());
}
