/** Made by scripts/constants.py from span_keras/constants.json: change numbers there. */

/** Factors that networks are trained for here. */
export const SCALES = [2, 3, 4];

/** Largest factor of a network that is run; one of factor 1 restores without enlarging. */
export const MAX_SCALE = 8;

/** Channels of a network's input and output: 1 grey, 3 RGB, 4 RGB and alpha. */
export const CHANNEL_PAIRS = [
  [3, 3],
  [1, 1],
  [4, 4],
  [1, 3],
  [3, 1],
];

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

/**
 * The picture on which the input conventions of a network are tried, rows of RGB colours: 16 by 16 pixels of the
 * bundled photograph of coffee, reduced by 3. Smooth parts resemble their bicubic enlargement whatever a network adds;
 * light, dark and warm parts show a wrong mean.
 */
export const TRIAL_PICTURE = [
  'f7ebdc f6e8d3 f6e3cb f1d3af dfb283 ce9a68 c9915e c68b59 c58959 c78a58 c88c56 c98d57 ca8e58 ca8d57 ca8c55 c88953',
  'f7eadb f6e7d3 f5e1c7 ebc8a0 d6a777 cb9564 c78e5b c48956 c58a59 c78b57 c88c56 c98d57 ca8c56 cb8c55 ca8a52 c88952',
  'f7e9d9 f6e5d0 f3dbbd e5be91 d19f6d c9915f c78c5a c58a57 c68a56 c78a56 c98c55 ca8c55 ca8b52 c8874e c8884e c88950',
  'f7e9d7 f6e4cc f2d6b4 dfb383 ce9765 c98e5c c88c5b c68a58 c68a54 c78a55 c98c55 c98c55 c98a51 c8864c c9874f c8874f',
  'f7e9d8 f6e4cb efd1ac daab79 cc945e ca8d5b c88b5b c68a57 c58a53 c78b55 c98b55 c98b52 c7884f c8864c c7864c c6844b',
  'f7ead8 f6e2c9 edcca3 d6a370 cb905a c98d58 c78b58 c78a55 c78954 c88a54 c98a54 c98951 c7874e c7864d c6854b c7844a',
  'f8ebdb f5e2c7 eac79c d39d68 ca8d57 c98c56 c88b55 c88954 c98953 c88952 c88a53 c8874e c6864d c6854b c78143 c27133',
  'f6ede2 f6e2c7 e8c397 d09863 cb8f57 c88c55 c78953 c78852 c88951 c88952 c8864f c7844b c78246 bb6429 b25219 b2501a',
  'f7f0e8 f6e1c6 e7c093 d19963 cc8f57 ca8b53 c88853 c68851 c88852 c7864d c68348 c68344 c27234 a93d0d a83a0e ad4310',
  'f8f6f1 f7e5cd e7bf92 cf9660 cb8b52 ca8951 c78751 c68751 c8864d c78145 c68042 c57d3b b9571d ae3e10 ad4110 ab4110',
  'f9f8f6 f9e6d1 e7c195 cf945e cb8a51 c98a53 c68650 c78650 c58146 c58043 c57d3b ba5c21 b04411 ad4011 a73c0f a33a0f',
  'f8f6f3 f7e7d1 e9c499 cf935c cb8a53 c98a53 c5864f c6844d c67f43 c57f3f b95c20 b14311 af4211 a83c10 a13a0f 9e3c10',
  'f8f5f6 f8e9d5 eecba4 d1945e ca8a52 c88950 c6854f c58149 c67f41 c16f2d af450f b14614 a63c0f a0380e 9f3c11 a04015',
  'f9f5f6 f8eee1 f1d3af d29863 ca8850 c8864e c6834c c68147 c37636 b8551a af4310 a73c10 a13a11 9e3c12 9e3e13 9d3d13',
  'f7f1f1 f8f2ec f5dec0 d7a06a c9874d c7864d c68048 c78245 ba5b22 af3f0d a73b0e a03a0f a03e12 9f3e13 a03f11 9c370d',
  'f7eee7 f8f3f0 f8e9d2 e2b17f ca864c c7844a c68248 c17031 b34611 ae4211 a1390e a24014 a24014 a13d12 9f3a0e a33c0f',
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
