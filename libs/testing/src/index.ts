export * from './nats-server.js';
export * from './open-handles.js';
export * from './running-process.js';
export * from './seed.js';
export * from './temp-dir.js';
export * from './wait-for.js';
