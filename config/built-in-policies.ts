// Names that stand for policies of our own making: every route, no route, the default route, the blocks of this node.
export const importBuiltIns: readonly string[] = ["all", "none", "default-route"];
export const exportBuiltIns: readonly string[] = ["all", "none", "blocks"];
export const builtIns: readonly string[] = [...new Set([...importBuiltIns, ...exportBuiltIns])];
