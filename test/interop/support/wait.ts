// Polling for something to become true, with an error that says what never did.

/** Thrown by a condition that can no longer come true: waiting ends at once. */
export class GiveUp extends Error {}

/** Polls until the condition returns something truthy, and returns that. Errors thrown count as "not yet", except GiveUp. */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string,
  { timeout = 30_000, interval = 50 }: { timeout?: number; interval?: number } = {},
): Promise<T> {
  const until = performance.now() + timeout;
  let last: unknown = "nothing";
  for (;;) {
    try {
      const result = await condition();
      if (result) return result;
      last = result;
    } catch (error) {
      if (error instanceof GiveUp) throw error;
      last = error;
    }
    if (performance.now() > until) {
      const detail = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`timed out after ${timeout} ms waiting for ${what}; last: ${detail}`);
    }
    await sleep(interval);
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
