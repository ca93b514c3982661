/** Made by scripts/constants.py from span_keras/constants.json: change numbers there. */

/** Factors by which networks enlarge. */
export const SCALES = [2, 3, 4];

/** This project's activations, and those of the authors' released code. */
export const VARIANTS = ['span', 'official'];

/** Width of the hidden convolutions unless another one is asked for. */
export const CHANNELS = 48;

/** Number of SPAB blocks unless another one is asked for. */
export const BLOCKS = 6;

/** Mean RGB of DIV2K in [0, 1]; the authors subtract it from every input. */
export const DIV2K_MEAN = [0.4488, 0.4371, 0.404];

/** Negative slope of LeakyReLU in variant `span`. */
export const LEAKY_SLOPE = 0.1;

/** Inner width of Conv3XC relative to its outer width; the authors' `gain1`. */
export const REPCONV_GAIN = 2;

/** Shares of red, green and blue in luma of BT.601. */
export const LUMA = [0.299, 0.587, 0.114];

/** Weights of red, green and blue from 0 to 1 in Y of BT.601, studio range. */
export const STUDIO_Y = [65.481, 128.553, 24.966];

/** Y of black in studio range. */
export const STUDIO_BLACK = 16;

/** Limit in dB of an image's PSNR in a mean over images: an infinite one would leave nothing of the others. */
export const MAX_PSNR = 100;

/** Side in pixels of the Gaussian window of SSIM. */
export const SSIM_WINDOW = 11;

/** Standard deviation in pixels of that window. */
export const SSIM_SIGMA = 1.5;

/** K1 and K2 of SSIM. */
export const SSIM_K = [0.01, 0.03];

/**
 * How far colours are carried into fully transparent areas, in LR pixels; farther ones hardly reach a visible pixel.
 */
export const ALPHA_BLEED = 8;

/**
 * The input of a model's self-check, rows of RGB colours: sky gradient, slanted edge, fine texture, one warm colour,
 * black and white. It looks like a photograph's detail, because networks answer the impossible (single pixels of pure
 * colours) with values of any size, and a check relative to those would be blunt. Small, so that it costs few bytes and
 * no time on the slowest backend; not square, so that swapped axes show.
 */
export const GOLDEN_TILE = [
  'ffffff ffffff 86a0d9 92a5d5 9eaad1 aaafcd b6b4c9',
  '7198db 7d9dd7 89a2d3 95a7cf a1accb adb1c7 8c7660',
  'ecbc40 809fd1 8ca4cd 98a9c9 8c7660 5c4730 1f5416',
  'ecbc40 83a1cb 8c7660 5c4730 5c4730 1f5416 5c4730',
  '8c7660 5c4730 1f5416 5c4730 1f5416 000000 000000',
];

/** Standard deviation given to the output of `conv_1`, `c1`, `c2` and `conv_2` before training. */
export const FEATURE_STD = 1;

/** Standard deviation of `o3` per variant: sigmoid - 0.5 is tanh(x / 2) / 2 and needs twice the range. */
export const ATTENTION_STD = { span: 1.5, official: 3 };

/** Standard deviation given to the image before training, around mid-grey: the first steps need not undo noise. */
export const OUTPUT_STD = 0.1;

/**
 * Exponent of the frequency in the amplitude of noise images; not -1, because small crops hold a large share of smooth
 * areas.
 */
export const NOISE_SLOPE = -1.4;

/** Mean of noise images. */
export const NOISE_MEAN = 0.45;

/** Standard deviation of noise images' independent planes before they are mixed. */
export const NOISE_STD = 0.3;

/**
 * Shares of three independent planes in red, green and blue. Photographs are mostly grey: luminance carries about nine
 * tenths of the variance.
 */
export const NOISE_MIX = [
  [0.94, 0.3, 0.15],
  [0.94, 0, -0.33],
  [0.94, -0.3, 0.15],
];

/** Decay of Adam's first moment. */
export const BETA_1 = 0.9;

/** Decay of Adam's second moment. */
export const BETA_2 = 0.999;

/** What Adam adds to the root of the second moment, outside of the bias correction, as Keras does. */
export const EPSILON = 1e-7;

/** Gradients are scaled down to this Euclidean norm. */
export const CLIP_NORM = 1;

/** Decay of the averaged weights once it has grown. */
export const EMA_DECAY = 0.999;

/**
 * At update t the average moves by (delay - 1) / (delay + t) as long as that is more than 1 - decay: the start is soon
 * forgotten.
 */
export const EMA_DELAY = 10;

/** Number of recent losses whose median a loss is compared with. */
export const GUARD_WINDOW = 101;

/** Losses that must be known before a leap can be told from ordinary variation. */
export const GUARD_START = 21;

/** A step whose loss exceeds the median this many times is skipped. */
export const SPIKE_FACTOR = 10;

/** After this many skipped steps in a row, the weights are damaged: the averaged ones take their place. */
export const RESTORE_AFTER = 10;

/** This many skipped steps in a row stop the training. */
export const MAX_SKIPPED = 50;

/** Smallest side of an LR patch in pixels. */
export const MIN_PATCH_SIZE = 4;

/** This project's recipe: small batches that any machine can train with. */
export const DEFAULTS = {
  epochs: 500,
  steps_per_epoch: 100,
  batch_size: 4,
  patch_size: 48,
  learning_rate: 0.0001,
  rate_epochs: [200, 300],
  weight_decay: 0.0001,
  vgg_weight: 0.001,
  seed: 0,
};
