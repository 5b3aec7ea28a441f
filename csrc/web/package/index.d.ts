/** Decodes .aec pictures. The same functions in pages and in node. */

/** An .aec file, or the beginning of one. */
export type Source = ArrayBuffer | ArrayBufferView | Blob | Response;

export type ErrorCode =
  | "not-aec" // the data does not begin as an .aec file does
  | "version" // the file needs a newer decoder
  | "truncated" // the file is shorter than its header says
  | "corrupt" // the file contradicts the format
  | "limit" // the picture is larger than allowed
  | "model" // the model is missing, damaged, or not the one that wrote the file
  | "embedded" // the picture inside is of a kind that is not decoded here
  | "argument"
  | "memory"
  | "io" // a file could not be fetched
  | "cancelled" // close() or configure() was called meanwhile
  | "internal";

export class AecError extends Error {
  readonly code: ErrorCode;
}

export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What a partial file lacks. */
export interface Missing extends Region {
  /** Colours: those of `parts` of `of` parts are there, the rest is predicted. Alpha: it is opaque. */
  what: "colours" | "alpha" | "metadata";
  parts: number;
  of: number;
  /** Of metadata: which. */
  name: "icc" | "exif" | "xmp" | "cicp" | "significantBits" | "extra" | null;
}

export interface Picture<Data = Uint8ClampedArray> {
  width: number;
  height: number;
  depth: 8 | 16;
  /** Rows of red, green, blue and alpha, not premultiplied; in the colours that the file's metadata names. */
  data: Data;
  missing: Missing[];
}

export interface Limits {
  /** Take a file that ends early or is damaged, as far as it is whole. Default: false. */
  partial?: boolean;
  /** Refuse pictures with more pixels. Default: 2^28. */
  maxPixels?: number;
  /** Rejects with the signal's reason when it aborts; work that has begun is stopped. */
  signal?: AbortSignal;
}

export interface DecodeOptions extends Limits {
  /** Only this part of the picture, in its pixels. Default: all. */
  region?: Region;
  /** Each pixel of the result is the mean of a square of so many pixels a side. Default: 1. */
  scale?: 1 | 2 | 4 | 8;
  /** Bits a sample. Default: 8; of toBlob: those of the file. */
  depth?: 8 | 16;
  /** The most workers that share the picture. Default: all, or its share of them while other
   * pictures are decoded. The pixels are the same. */
  workers?: number;
  /** Called with the share that is done, rising to 1. */
  onProgress?(share: number): void;
  /** Called while a model is fetched; total is null if the server does not tell. */
  onModelProgress?(progress: { loaded: number; total: number | null }): void;
}

export interface Info {
  width: number;
  height: number;
  depth: number;
  gray: boolean;
  alpha: boolean;
  /** 1..100; stored: 0; exact: the largest error of a sample, in levels. */
  quality: number;
  needsModel: boolean;
  /** The picture is a PNG, WebP or JPEG file. */
  stored: boolean;
  /** The picture is lossless, or has a guaranteed largest error. */
  exact: boolean;
  /** Blocks of the picture have qualities of their own. */
  mapped: boolean;
  /** Side of the tiles in pixels, and their number; stored: 0 and 1. */
  tile: number;
  tiles: number;
  /** Parts of each tile: with more than 1 the beginning of the file is a coarser picture. */
  parts: number;
  first: number;
  /** 8 hexadecimal digits; null if no model is needed. */
  modelId: string | null;
  /** For each part, the bytes of the beginning of the file that hold it and those before it. */
  stages: number[];
  missing: Missing[];
  metadata: {
    icc: Uint8Array | null;
    exif: Uint8Array | null;
    xmp: Uint8Array | null;
    cicp: Uint8Array | null;
    significantBits: number | null;
    /** All extra blocks, one after the other, as FORMAT.md §2.5 says. */
    extra: Uint8Array | null;
  };
}

export function decode(source: Source, options?: DecodeOptions & { depth?: 8 }): Promise<Picture>;
export function decode(source: Source, options: DecodeOptions & { depth: 16 }): Promise<Picture<Uint16Array>>;

/** What a file says of itself. No model is needed. */
export function inspect(source: Source, options?: Limits): Promise<Info>;

/**
 * A picture file for <img> and for downloads: a PNG, large and quickly made, with the file's profile or code points. Of a
 * stored picture without metadata of its own it is the PNG, WebP or JPEG file inside, unless a part, a scale or a depth is
 * asked for.
 */
export function toBlob(
  source: Source,
  options?: DecodeOptions,
): Promise<{ blob: Blob; width: number; height: number; missing: Missing[] }>;

/** How decoding works from now on. Workers that there are end, and what they do fails with the code "cancelled". */
export function configure(settings: {
  /** The most workers. Default: one for each processor, at most 8. */
  workers?: number;
  /** Where a packed model is, or its bytes. Default: models/ID.aecm beside the package. */
  model?(id: string): string | URL | Uint8Array | Promise<string | URL | Uint8Array>;
}): void;

/** Ends the workers, which take memory. They start anew when they are needed. */
export function close(): void;
