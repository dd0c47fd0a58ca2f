// Specification versions: which we speak, and how verbs and result formats depend on them.
import { CniError, CniErrorCode } from "./error.ts";

/** Oldest first. */
export const supportedVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof supportedVersions)[number];

export const newestVersion: CniVersion = "1.1.0";

export function isSupported(version: string): version is CniVersion {
  return (supportedVersions as readonly string[]).includes(version);
}

/** Throws code 1 for a version that we do not speak, in the words that runtimes log. */
export function requireSupported(version: string): CniVersion {
  if (isSupported(version)) return version;
  throw new CniError(
    CniErrorCode.incompatibleVersion,
    "incompatible CNI versions",
    `config is ${JSON.stringify(version)}, plugin supports ${JSON.stringify(supportedVersions)}`,
  );
}

/** True when `version` is `minimum` or later. */
export function atLeast(version: CniVersion, minimum: CniVersion): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(minimum);
}

/** Verbs by the first version that has them; throws code 1 when the configuration is older. */
export function requireVerb(verb: string, version: CniVersion, since: CniVersion): void {
  if (atLeast(version, since)) return;
  throw new CniError(
    CniErrorCode.incompatibleVersion,
    `config version does not allow ${verb}`,
    `${verb} needs cniVersion ${since} or later, the config says ${version}`,
  );
}

/** Answer to VERSION: echoes the caller's version when it named one. */
export function formatVersions(input: string | null): string {
  return `${JSON.stringify({ cniVersion: input || newestVersion, supportedVersions })}\n`;
}
