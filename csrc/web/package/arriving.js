// Pictures that are shown while their bytes arrive.
import { AecError, inspect, toBlob } from "./index.js";

/**
 * Reads a response, and calls show({blob, width, height, final}) with what there is of the picture: first, if the file has
 * its parts one after the other, with coarse pictures, each as soon as its bytes are there and the last one is shown;
 * and at last with the whole. Rejects with what was wrong.
 */
export async function showArriving(response, show, { signal, onProgress } = {}) {
  if (!response.ok) throw new AecError("io", `${response.url}: the server answered ${response.status}`);
  const parts = [];
  let [loaded, stages, done] = [0, null, false];
  let showing = null; // the coarse picture that is being made

  const bytes = async () => new Uint8Array(await new Blob(parts).arrayBuffer());

  /** Where the parts end: known once the table has arrived. */
  async function stagesOf(data) {
    try {
      return (await inspect(data, { partial: true, signal })).stages;
    } catch (error) {
      if (error.code === "truncated") return null;
      throw error;
    }
  }

  async function showCoarse() {
    const data = await bytes();
    stages ??= await stagesOf(data);
    if (!stages || stages.length < 2 || data.length < stages[0]) return;
    const better = stages.filter((end) => end <= data.length).length;
    if (better === 0 || better === stages.length || better <= showCoarse.shown) return;
    showCoarse.shown = better;
    const picture = await toBlob(data, { partial: true, signal });
    if (!done) show({ ...picture, final: false });
  }
  showCoarse.shown = 0;

  for (const reader = response.body.getReader(); ;) {
    const { done: ended, value } = await reader.read();
    if (ended) break;
    parts.push(value);
    loaded += value.length;
    onProgress?.(loaded);
    // What is wrong with a part is wrong with the whole, which will tell.
    showing ??= showCoarse()
      .catch(() => {})
      .finally(() => (showing = null));
  }
  const whole = await bytes();
  await showing;
  done = true;
  await show({ ...(await toBlob(whole, { signal })), final: true });
}
