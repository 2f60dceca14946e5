/** Something that set-up cannot mend by itself. Its message is one sentence for the user: what is wrong and what to do. */
export class SetupProblem extends Error {}

/** Progress goes to stderr, so that a command's own output can be piped. @param {string} line */
export function say(line) {
  process.stderr.write(`[setup] ${line}\n`);
}
