// underlayctl dump FILE: the daemon writes an MRT table dump; the path is that of whoever asks.
import { resolve } from "node:path";
import type { DumpResult } from "../bgp/monitor/types.ts";
import type { Invocation } from "./commands.ts";
import { plain } from "./output.ts";

export async function dump({ client, output, options, arguments: [path] }: Invocation): Promise<number> {
  const result = await client.post<DumpResult>(`/v1/dump?file=${encodeURIComponent(resolve(path))}`);
  if (options.json) {
    await output.line(JSON.stringify(result, null, 2));
    return 0;
  }
  const { file, prefixes, routes, bytes, duration } = result;
  await output.line(`${plain(file)}: ${prefixes} prefixes, ${routes} routes, ${bytes} bytes in ${duration} ms`);
  return 0;
}
