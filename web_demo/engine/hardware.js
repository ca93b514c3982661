/**
 * Telling a GPU from a program that plays one (SwiftShader, llvmpipe): that is slower than WebAssembly everywhere, and
 * takes seconds to show it.
 */
import { within } from '../limit.js';
import { isSoftware, nameOf } from './webgpu/device.js';

/** Milliseconds within which a browser that has a GPU tells so. */
const ANSWER_LIMIT = 3000;

/**
 * Why a backend would not run on a GPU here.
 * @param {'webgpu' | 'webgl'} name
 * @returns {Promise<string>} a reason to go after "WebGPU is not used: "; empty if there is a GPU
 */
export async function gpuProblem(name) {
  try {
    return await within(PROBLEMS[name](), ANSWER_LIMIT, 'the browser did not name its GPU');
  } catch (error) {
    return error.message;
  }
}

const PROBLEMS = {
  async webgpu() {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return navigator.gpu ? 'this browser offers no GPU here' : 'this browser has no WebGPU';
    const isFallback = adapter.info?.isFallbackAdapter ?? /** @type {any} */ (adapter).isFallbackAdapter;
    return describe(isFallback, nameOf(adapter.info));
  },

  async webgl() {
    const canvas = new OffscreenCanvas(1, 1);
    const gl = canvas.getContext('webgl2', { failIfMajorPerformanceCaveat: true });
    if (!gl) return 'this browser has no WebGL on a GPU';
    const names = gl.getExtension('WEBGL_debug_renderer_info');
    const renderer = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    gl.getExtension('WEBGL_lose_context')?.loseContext();
    return describe(false, renderer);
  },
};

const describe = (isFallback, text) =>
  isFallback || isSoftware(text) ? `there is no GPU, only software in its place (${text || 'unnamed'})` : '';
