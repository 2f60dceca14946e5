export * from './app-process.js';
export * from './arms.js';
export * from './nats-server.js';
export * from './open-handles.js';
export * from './running-process.js';
export * from './seed.js';
export * from './temp-dir.js';
export * from './wait-for.js';
