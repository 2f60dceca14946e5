import '@diptych/host/node-version';

// Only now, when this Node is known to read it.
await import('./start.js');
