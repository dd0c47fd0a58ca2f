// The order of test files: those that take longest first, so that the last worker is not alone with one of them.
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** By how long they take: mostly waiting, for the timers of foreign daemons. */
const LONGEST = ["graceful-restart-helper", "graceful-restart", "session", "bfd-daemon", "session-md5", "reload"];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/interop/${name}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
