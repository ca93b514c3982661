/** The formats besides PNG in which results are saved. */

/** What people call them, by MIME type. */
export const NAMES = { 'image/jpeg': 'JPEG', 'image/webp': 'WebP' };

/** Encoders take sides up to these (JPEG's is libjpeg's, below the format's own) and silently cut off what is beyond. */
export const MAX_SIDES = { 'image/jpeg': 65500, 'image/webp': 16383 };
