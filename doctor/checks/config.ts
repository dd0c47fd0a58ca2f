// The configuration: the file against what is in force, and what the file says that is doubtful.

import { diffConfig } from "../../config/diff.ts";
import type { ConfigProblem } from "../../config/problem.ts";
import { type Check, check, type Observation } from "../types.ts";

export const configChecks: readonly Check[] = [
  check({
    id: "config-invalid",
    severity: "fault",
    title:
      "The configuration file has a fault. The daemon goes on with what it has read before, but it cannot reload, and not start again.",
    cure: "correct the file; underlayd --check --config FILE tells when it is good",
    needs: ["file"],
    run: ({ file }) => file.problems.filter((problem) => !isSecret(problem)).map(observe),
  }),
  check({
    id: "secret-missing",
    severity: "fault",
    title: "The secret of a peer cannot be read, is empty or too long. The peer does not start without it.",
    cure: "write the secret into the file, readable by root only",
    needs: ["file"],
    run: ({ file }) => file.problems.filter(isSecret).map(observe),
  }),
  check({
    id: "secret-readable",
    severity: "fault",
    title: "Everybody on the host can read the secret of a peer.",
    cure: "chmod 600 the file",
    needs: ["file"],
    run: ({ file }) => file.warnings.filter(isSecret).map(observe),
  }),
  check({
    id: "config-doubtful",
    severity: "warning",
    title:
      "The configuration file is good, but says something that is rarely meant, such as a peer in another AS without a policy (RFC 8212).",
    cure: "see docs/configuration.md",
    needs: ["file"],
    run: ({ file }) => file.warnings.filter((warning) => !isSecret(warning)).map(observe),
  }),
  check({
    id: "config-not-in-force",
    severity: "fault",
    title:
      "The configuration file is not what the daemon runs with: it was changed and not reloaded, or the reload was refused.",
    cure: "underlayctl plan FILE tells what a reload would do; then underlayctl reload",
    needs: ["config", "file", "daemon"],
    *run({ config, file }) {
      if (!file.config) return;
      const { changes, impact } = diffConfig(config, file.config);
      if (impact === null) return;
      const paths = changes.map(({ path }) => path);
      const more = paths.length > 5 ? ` and ${paths.length - 5} more` : "";
      yield {
        subject: file.path,
        text: `differs from what is in force in ${paths.slice(0, 5).join(", ")}${more}`,
        cure:
          impact === "restart"
            ? `restart the daemon, which keeps forwarding: systemctl restart underlayd`
            : `underlayctl plan ${file.path} tells what a reload would do; then underlayctl reload`,
      };
    },
  }),
];

function isSecret({ path }: ConfigProblem): boolean {
  return /\.password\.(file|accept\.\d+)$/.test(path);
}

function observe({ file, line, column, path, message, hint }: ConfigProblem): Observation {
  const place = line > 0 ? `${file}:${line}:${column}` : file;
  return { subject: place, text: path === "" ? message : `${path}: ${message}`, ...(hint !== null && { cure: hint }) };
}
