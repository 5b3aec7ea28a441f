// What the browser itself can write, made as large as a file of ours.

const STEPS = 7; // of the search for a quality: to a hundredth

export const RIVALS = { jpeg: "image/jpeg", webp: "image/webp" };

/** The largest file of a type that is not larger than n bytes, or the smallest there is: {blob, quality}; null if the
 * browser does not write the type. */
export async function atSize(canvas, type, n) {
  const write = (quality) => canvas.convertToBlob({ type, quality: quality / 100 });
  if ((await write(50)).type !== type) return null;
  let [low, high] = [0, 100]; // the wanted quality lies from low on, below high
  let best = { blob: await write(0), quality: 0 };
  for (let i = 0; i < STEPS && high - low > 1; i++) {
    const quality = (low + high) >> 1;
    const blob = await write(quality);
    if (blob.size > n) high = quality;
    else [low, best] = [quality, { blob, quality }];
  }
  return best;
}

/** PSNR over red, green and blue of two ImageData of one size; Infinity if they are equal. */
export function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.data.length; i += 4) for (let c = i; c < i + 3; c++) sum += (a.data[c] - b.data[c]) ** 2;
  return 10 * Math.log10((255 ** 2 * 3 * a.width * a.height) / sum);
}
