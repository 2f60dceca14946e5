// Every npm script starts here: `node tools/setup/run.mjs <command> [arguments]`. It runs on the Node the machine has, before any
// package is there, brings what the command needs (packages, Node 24, nats-server), and then runs the command itself.
// This first file is written so that even a very old Node can read it and say what is wrong.
const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  console.error(
    'Diptych needs Node 20 or newer to set itself up, and this is Node ' + process.versions.node + ': install a newer one and try again.',
  );
  process.exit(2);
}

void import('./main.mjs').then((setup) => {
  return setup.main(process.argv[2], process.argv.slice(3));
});
