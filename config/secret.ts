// Reads a secret from its file. TCP MD5 takes at most 80 bytes (TCP_MD5SIG_MAXKEYLEN).
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export interface Secret {
  readonly bytes: Uint8Array;
  readonly worldReadable: boolean;
}

/** TCP MD5 keys of one neighbour. */
export interface Passwords {
  readonly password: Uint8Array;
  /** Other keys that the neighbour may have while they are being changed. */
  readonly accepted: readonly Uint8Array[];
}

/**
 * Throws a system error (ENOENT, EACCES, EISDIR). Never reads more than a little over `limit`: MAX_SECRET, or as many
 * bytes.
 */
export type ReadSecret = (file: string, limit?: number) => Secret;

export const MAX_SECRET = 80;

export const readSecretFile: ReadSecret = (file, limit = MAX_SECRET) => {
  const fd = openSync(file, "r");
  try {
    const buffer = new Uint8Array(limit + 64);
    const length = readSync(fd, buffer);
    return { bytes: buffer.subarray(0, length), worldReadable: (fstatSync(fd).mode & 0o004) !== 0 };
  } finally {
    closeSync(fd);
  }
};

/** Without the line end that editors add. */
export function trimSecret(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end--;
  return bytes.slice(0, end);
}

export function systemErrorWords(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const words: Readonly<Record<string, string>> = {
    ENOENT: "there is no such file",
    EACCES: "permission denied",
    EISDIR: "it is a directory",
    ENOTDIR: "a part of its path is not a directory",
    ELOOP: "too many symbolic links",
    ENAMETOOLONG: "its name is too long",
  };
  return words[code ?? ""] ?? message;
}
