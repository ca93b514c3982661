/** Finding by trial what a file does not tell: range and mean of its network's input; see `span_keras/checkpoints/trial.py`. */
import { DIV2K_MEAN, TRIAL_PICTURE } from '../constants.js';
import { upscale } from '../images/bicubic.js';
import { ModelError } from '../network/model.js';
import { referenceOutput } from '../network/reference.js';

/** The authors' range and that of the other trainers. */
const RANGES = [255, 1];
const MEANS = [DIV2K_MEAN, [0.5, 0.5, 0.5], [0, 0, 0]];
/** PSNR in decibels from which a result resembles the bicubic enlargement. */
const RESEMBLES = 20;

/**
 * Tell range and mean of a network's input: those with which its result is nearest to the bicubic enlargement.
 * @param {import('../network/model.js').ModelArtifacts} artifacts
 * @param {import('../network/model.js').SpanConfig} config whose range and mean do not matter
 * @param {{imgRange?: number, rgbMean?: number[]}} known what the file tells
 * @param {string} name of the file, for messages
 * @returns {{imgRange: number, rgbMean: number[]}}
 * @throws {ModelError} with none of them it resembles it
 */
export function findNormalization(artifacts, config, { imgRange, rgbMean }, name) {
  const { inChannels = 3, outChannels = 3 } = config;
  if (imgRange !== undefined && rgbMean !== undefined) return { imgRange, rgbMean: means(rgbMean, inChannels) };
  if (inChannels !== 3 || outChannels !== 3) {
    return { imgRange: imgRange ?? 1, rgbMean: means(rgbMean ?? [], inChannels) }; // the authors' code has none for these
  }
  const rows = TRIAL_PICTURE.map((row) => row.split(' ').map((color) => Number.parseInt(color, 16)));
  const colors = rows.flat().map((color) => [color >> 16, (color >> 8) & 255, color & 255]);
  const size = { height: rows.length, width: rows[0].length };
  const wanted = upscale({ ...size, data: Uint8ClampedArray.from(colors.flat()) }, config.scale).data;
  const rgba = { ...size, data: Uint8ClampedArray.from(colors.flatMap((color) => [...color, 255])) };
  const tried = (imgRange === undefined ? RANGES : [imgRange]).flatMap((range) =>
    (rgbMean === undefined ? MEANS : [rgbMean]).map((mean) => {
      const normalization = { imgRange: range, rgbMean: means(mean, 3) };
      const made = referenceOutput(artifacts, { ...config, ...normalization }, rgba);
      const error = made.reduce((sum, value, i) => sum + (value - wanted[i] / 255) ** 2, 0) / made.length;
      return { normalization, psnr: Number.isFinite(error) ? -10 * Math.log10(error) : -Infinity };
    }),
  );
  const best = tried.reduce((one, other) => (other.psnr > one.psnr ? other : one));
  if (best.psnr >= RESEMBLES) return best.normalization;
  throw new ModelError(
    `${name} does not tell the range and mean of its network's input, and none in use fits; write it with span-export, which tells them.`,
  );
}

/** No mean, for however many channels. */
const means = (mean, channels) => (mean.length ? mean : Array(channels).fill(0));
