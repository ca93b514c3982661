/** A thread of `png-threads.js`. */
import { encodePiece } from '../images/png.js';
import { serve, withTransfer } from '../rpc.js';
import { loadModule } from './tf.js';

const library = loadModule('pako');

serve({
  prepare: async () => void (await library),

  async encode(piece) {
    const encoded = encodePiece(await library, piece);
    return withTransfer(encoded, [encoded.idat.buffer]);
  },
});
