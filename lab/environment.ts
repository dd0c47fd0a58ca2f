// Variables in topology files, with the operators that containerlab takes from the shell:
// $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:=default}, ${NAME=default}; `$$` is a dollar sign.

const reference = /\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-=])([^}]*))?\})/g;

/** Replaces every variable. One that is not set and has no default becomes the empty string, as in a shell. */
export function expandVariables(text: string, environment: Readonly<Record<string, string | undefined>>): string {
  return text.replace(reference, (_whole, dollar, bare, braced, operator: string | undefined, fallback = "") => {
    if (dollar) return "$";
    const value = environment[bare ?? braced];
    const missing = operator?.startsWith(":") ? !value : value === undefined;
    return missing ? (operator ? fallback : "") : value!;
  });
}
