// libuv's thread pool, shared by all threads of the process: file operations, among them the fsync that an ADD waits for, and
// removals of pods' interfaces, each of which keeps a thread for 15 ms or more.

/** libuv's own choice, where nobody says otherwise. */
const USUAL = 4;
const WANTED = 16;

/** To be called before anything uses the pool. A size from the environment stands. */
export function sizeThreadPool(): void {
  process.env.UV_THREADPOOL_SIZE ??= String(WANTED);
}

/** Threads that may be kept for long without others having to wait. */
export function spareThreads(): number {
  const size = Number(process.env.UV_THREADPOOL_SIZE ?? USUAL);
  return Math.max(2, (Number.isInteger(size) && size > 0 ? size : USUAL) - USUAL);
}
