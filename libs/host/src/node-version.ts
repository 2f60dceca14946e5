/*
 * Importing this ends a process on a Node that is too old, with a sentence. It imports nothing, and must be the one static import of a
 * program: a module of Node's that is not there yet would end it before the first line runs, with a stack.
 */
const WANTED_MAJOR = 24;

if (Number(process.versions.node.split('.', 1)[0]) < WANTED_MAJOR) {
  process.stderr.write(
    `diptych: this needs Node ${WANTED_MAJOR} or newer, and this is Node ${process.versions.node}; install a newer one\n`,
  );
  process.exit(2);
}

export {};
