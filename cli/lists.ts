// Lists as the daemon sends them: for programs as they come, for people as a table.
import type { Invocation } from "./commands.ts";
import type { Row } from "./output.ts";

/** One JSON array, one item per line, whatever its length. Returns the number of items. */
export async function jsonList({ client, output }: Invocation, path: string): Promise<number> {
  let count = 0;
  for await (const line of client.lines(path)) await output.write(count++ === 0 ? `[\n${line}` : `,\n${line}`);
  await output.line(count === 0 ? "[]" : "\n]");
  return count;
}

export const simpleList =
  <T>(path: string, columns: readonly { title: string; align?: "right" }[], row: (item: T) => Row, empty: string) =>
  async (invocation: Invocation): Promise<number> => {
    const { client, output, options } = invocation;
    if (options.json) {
      await jsonList(invocation, path);
      return 0;
    }
    const items = await client.get<T[]>(path);
    if (items.length === 0) process.stderr.write(`${empty}\n`);
    else await output.table(columns, items.map(row));
    return 0;
  };
