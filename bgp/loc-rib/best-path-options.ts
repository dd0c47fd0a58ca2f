// What operators may choose in the decision process (decision.ts). Comparing MED is always deterministic, router ids
// are always compared and the age of a path never is: there is nothing to choose about these.

export interface BestPathOptions {
  /** Most next hops used at once, 1: no multipath; when the best path is from our own AS, the second. */
  readonly maxPaths: number;
  readonly maxPathsIbgp: number;
  /** MED counts among paths from different ASes too. */
  readonly alwaysCompareMed: boolean;
  /** A path without MED is worse than any with one, not better. */
  readonly missingMedWorst: boolean;
  /** Multipath over whatever AS paths are equally good; otherwise only over equal ones. */
  readonly multipathRelax: boolean;
  /** Weighted by their link bandwidth communities when all paths in use have one. */
  readonly linkBandwidth: boolean;
}

export const usualBestPath: BestPathOptions = {
  maxPaths: 64,
  maxPathsIbgp: 64,
  alwaysCompareMed: false,
  missingMedWorst: false,
  multipathRelax: true,
  linkBandwidth: true,
};
