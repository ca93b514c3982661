/** Handing files to the user. */

/** @param {Blob} blob */
export function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A result in another format. @param {Blob} png @param {string} type image/png, image/jpeg or image/webp */
export async function convert(png, type) {
  if (type === png.type) return png;
  const bitmap = await createImageBitmap(png);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (type === 'image/jpeg') {
    context.fillStyle = '#fff'; // JPEG has no transparency
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type, quality: 0.95 });
}

/** photo.jpeg, 4 -> photo-x4.png */
export const resultName = (name, scale, type) => `${name.replace(/\.[^.]*$/, '')}-x${scale}.${type.split('/')[1].replace('jpeg', 'jpg')}`;
