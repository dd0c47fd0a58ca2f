// The daemon's log: pino, JSON lines on standard error when a program reads it (journald, a file), readable lines on a
// terminal. Standard output stays free for what was asked for (--check, --version).
import pino from "pino";
import pinoPretty from "pino-pretty";
import type { Config } from "../config/types.ts";

export type Logger = pino.Logger;

export function createLog(level: Config["log"]["level"], name: string): Logger {
  const options: pino.LoggerOptions = { level, base: { node: name }, timestamp: pino.stdTimeFunctions.isoTime };
  if (!process.stderr.isTTY) return pino(options, pino.destination({ fd: 2, sync: true }));
  return pino(
    options,
    pinoPretty({ destination: 2, sync: true, ignore: "pid,hostname,node", translateTime: "HH:MM:ss.l" }),
  );
}
