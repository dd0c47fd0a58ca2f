// The daemon's API, asked without a process for each question: for polling.
import { request } from "node:http";

export function ask<T>(socketPath: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: 5_000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      response.once("error", reject).once("end", () => {
        if (response.statusCode === 200) resolve(JSON.parse(body) as T);
        else reject(new Error(`${path}: ${response.statusCode} ${body}`));
      });
    });
    call.once("timeout", () => call.destroy(new Error(`${path}: no answer`)));
    call.once("error", reject).end();
  });
}
