// Configurations that are refused, by subject.
import { badDaemon } from "./bad/daemon.ts";
import { badNode } from "./bad/node.ts";
import { badPeers } from "./bad/peers.ts";
import { badPolicies } from "./bad/policies.ts";
import { badText } from "./bad/text.ts";

export const bad = [...badText, ...badNode, ...badPeers, ...badPolicies, ...badDaemon];
