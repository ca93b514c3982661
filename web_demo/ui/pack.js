/** What is kept of a canvas that is not shown: browsers drop an image's pixels when memory is short, a canvas's never. */

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<HTMLImageElement | HTMLCanvasElement>} an image of the same pixels; the canvas itself if that fails
 */
export async function toImage(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  if (!blob) return canvas;
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
    return image;
  } catch {
    return canvas;
  } finally {
    URL.revokeObjectURL(image.src); // the image has read it
  }
}
