/**
 * Written by vendor.mjs. Of every library: its place among the npm packages, its name in vendor/ if that is another, and
 * the file's hash.
 * @type {Record<string, {path: string, file?: string, integrity: string}>}
 */
export const LIBRARIES = {
  core: {
    path: '@tensorflow/tfjs-core@4.22.0/dist/tf-core.es2017.min.js',
    integrity: 'sha384-pwFlZMvh0feP+i0lcqJy+EGMsa8y8MInwWkUgARHZEHUGyTNqxnqfi38fzMU994Z',
  },
  layers: {
    path: '@tensorflow/tfjs-layers@4.22.0/dist/tf-layers.es2017.min.js',
    integrity: 'sha384-VCNY+R50Py3QOJmSjkLCmIKwyHS5ohljWYTclF6aWp2ZjLMGxrm6W8pzUUZnR842',
  },
  cpu: {
    path: '@tensorflow/tfjs-backend-cpu@4.22.0/dist/tf-backend-cpu.es2017.min.js',
    integrity: 'sha384-sPiIjbpRaPJB90ZO/johjqnr46hhKnEcpE8PDDzhNxpvbVFzxmuetWaLaZQtFwEG',
  },
  webgl: {
    path: '@tensorflow/tfjs-backend-webgl@4.22.0/dist/tf-backend-webgl.es2017.min.js',
    integrity: 'sha384-vLZ29FEcQ9QWLdF6cKts4jNSPRioiSHmaggrIjdw0FbgdUp3CV0qUb4Mvp1C/ehV',
  },
  webgpu: {
    path: '@tensorflow/tfjs-backend-webgpu@4.22.0/dist/tf-backend-webgpu.es2017.min.js',
    integrity: 'sha384-PMbEpqRHflyIjqjUzZNr1ZjYSccb6KDXZAfYugyFU5jJ0Z+CFE+qPYxpLm6JTQkL',
  },
  wasm: {
    path: '@tensorflow/tfjs-backend-wasm@4.22.0/dist/tf-backend-wasm.es2017.min.js',
    integrity: 'sha384-SqoVPLooc7QMMmp0JuPMz9M6JqkYFd7wX08paKmclTcGS/36X7RY+hbkK7Big30W',
  },
  wasmPlain: {
    path: '@tensorflow/tfjs-backend-wasm@4.22.0/dist/tfjs-backend-wasm.wasm',
    integrity: 'sha384-ZwWxXkngOvkV9/jOFE8ZwnuJTftuqBs9dPATM9/5t0SK6UNhYkhiCmKe98UmiVMj',
  },
  wasmSimd: {
    path: '@tensorflow/tfjs-backend-wasm@4.22.0/dist/tfjs-backend-wasm-simd.wasm',
    integrity: 'sha384-K3GxiUF8sNsf8m8ZYuEKWXFARCxCn0erZqbTdbYOpxeDRf0k+CWFF5gZ3xbW4cez',
  },
  wasmThreads: {
    path: '@tensorflow/tfjs-backend-wasm@4.22.0/dist/tfjs-backend-wasm-threaded-simd.wasm',
    integrity: 'sha384-EuJw7PP3AQ4wqZVHrEgsG4/kh0NOitIk4QYoE+NEXyq03nKu/1qfVy0MSCwvvzMK',
  },
  chart: {
    path: 'chart.js@4.5.1/dist/chart.umd.min.js',
    integrity: 'sha384-jb8JQMbMoBUzgWatfe6COACi2ljcDdZQ2OxczGA3bGNeWe+6DChMTBJemed7ZnvJ',
  },
  zip: {
    path: 'client-zip@2.5.1/index.js',
    file: 'client-zip.js',
    integrity: 'sha384-N2b5Iwe+/N/0a3k+gkP3At3IgaLXhiOFfUuBoCNJnpbprct+Qb3ciMKwqmbkcB1L',
  },
  pako: {
    path: 'pako@3.0.3/dist/browser/pako_deflate.esm.min.mjs',
    file: 'pako_deflate.esm.min.js',
    integrity: 'sha384-ihA6JNT0jiPv8IYk/RDUKR8mFQDirxAk5r0yZMNCBA88kMzCf2lnmxPIEKykk9GG',
  },
  jpegDecoder: {
    path: '@jsquash/jpeg@1.6.0/codec/dec/mozjpeg_dec.js',
    integrity: 'sha384-W4c2GkLkJf/Snk/oXkK2oMLZapbffyzLQUyQmYjWopTCodigkn9xxK71mVTGdj0K',
  },
  jpegDecoderWasm: {
    path: '@jsquash/jpeg@1.6.0/codec/dec/mozjpeg_dec.wasm',
    integrity: 'sha384-p/njrg2oCJF9hgunfp2TepUgjpSLUwNcWAvWd7CcWX83Gp+PYWlCBfqelLbInDC9',
  },
  jpegEncoder: {
    path: '@jsquash/jpeg@1.6.0/codec/enc/mozjpeg_enc.js',
    integrity: 'sha384-CTbiAWUx5j4ei2ADqerTZqJ3oO29cmIXRwlSCTGQqPxHEhwwaGoq+LckGk+ZHn1R',
  },
  jpegEncoderWasm: {
    path: '@jsquash/jpeg@1.6.0/codec/enc/mozjpeg_enc.wasm',
    integrity: 'sha384-H+1ba4WX2K7dbPR4CTKWZQsJm9mWTkzMye8Yxn8Y5ROfMGwlpHA5BP9lX7YrZ4mb',
  },
  pngDecoder: {
    path: '@jsquash/png@3.1.1/codec/pkg/squoosh_png.js',
    integrity: 'sha384-OvP+OFqa/yPu74wb6fGvUtUNS1dmDXpOlJleTnq8fSkXtRjTinklC+Agtafd0twZ',
  },
  pngDecoderWasm: {
    path: '@jsquash/png@3.1.1/codec/pkg/squoosh_png_bg.wasm',
    integrity: 'sha384-PfHF57fxGU+4G+xgFHI2S0WSuI5fjjT89KxFO6yuvCDQ2+oNtIWLgKvofv+9FJ0x',
  },
  webpDecoder: {
    path: '@jsquash/webp@1.5.0/codec/dec/webp_dec.js',
    integrity: 'sha384-oPzLqOKor3LL85jSXSKJFf+Ks+177kpLAnDHN1ZKG+i4r+k93Qx/DfbZ9FBNPeG+',
  },
  webpDecoderWasm: {
    path: '@jsquash/webp@1.5.0/codec/dec/webp_dec.wasm',
    integrity: 'sha384-WWuBSczo/hDs5jgK/KRbOR+dIs9LW99NttquHN/RiT9/hQMwzzH4W6z20i28fd9Z',
  },
  webpEncoder: {
    path: '@jsquash/webp@1.5.0/codec/enc/webp_enc.js',
    integrity: 'sha384-+NybhuNYvhOCu52DiwXVrsgEsGfQwDrgazWPdVRcBZ3DfgCsbIzV4ADZJdShYmTT',
  },
  webpEncoderWasm: {
    path: '@jsquash/webp@1.5.0/codec/enc/webp_enc.wasm',
    integrity: 'sha384-5pp8Sua04ZAgzA3LRivE+IYO5SQYGnP/O+vSbXmVhcmsO8vWK16Ae7EaO/6JWqyl',
  },
};
