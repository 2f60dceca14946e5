import { Type } from 'typebox';
import { describe, expect, it } from 'vitest';
import { defineSettings, Environment, SettingsError } from './index.js';

const LOG = defineSettings('log', {
  dataDir: Type.String({ default: 'data/log', description: 'd' }),
  partitions: Type.Integer({ default: 1, minimum: 1, maximum: 64, description: 'd' }),
  ratio: Type.Number({ default: 0.5, minimum: 0, description: 'd' }),
  sync: Type.Boolean({ default: true, description: 'd' }),
  report: Type.Union([Type.Literal('loop'), Type.Literal('worker')], { default: 'loop', description: 'd' }),
  apiKey: Type.Optional(Type.String({ minLength: 8, description: 'd', secret: true })),
});

function read(variables: Record<string, string>) {
  return new Environment(variables).read(LOG);
}

function problemsOf(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

describe('settings', () => {
  it('have their defaults, frozen', () => {
    const values = read({});
    expect(values).toEqual({ dataDir: 'data/log', partitions: 1, ratio: 0.5, sync: true, report: 'loop' });
    expect(Object.isFrozen(values)).toBe(true);
  });

  it('are read by type, and an empty variable is none', () => {
    expect(
      read({
        DIPTYCH_LOG_DATA_DIR: '/x y',
        DIPTYCH_LOG_PARTITIONS: '64',
        DIPTYCH_LOG_RATIO: '1e-3',
        DIPTYCH_LOG_SYNC: 'false',
        DIPTYCH_LOG_REPORT: '',
        DIPTYCH_LOG_API_KEY: 'correct horse',
      }),
    ).toEqual({ dataDir: '/x y', partitions: 64, ratio: 0.001, sync: false, report: 'loop', apiKey: 'correct horse' });
  });

  it.each([
    [{ DIPTYCH_LOG_PARTITIONS: '0' }, 'DIPTYCH_LOG_PARTITIONS is "0"; it must be a whole number from 1 to 64'],
    [{ DIPTYCH_LOG_PARTITIONS: '1.5' }, 'DIPTYCH_LOG_PARTITIONS is "1.5"; it must be a whole number from 1 to 64'],
    [{ DIPTYCH_LOG_PARTITIONS: '0x10' }, 'DIPTYCH_LOG_PARTITIONS is "0x10"; it must be a whole number from 1 to 64'],
    [{ DIPTYCH_LOG_PARTITIONS: ' 3' }, 'DIPTYCH_LOG_PARTITIONS is " 3"; it must be a whole number from 1 to 64'],
    [{ DIPTYCH_LOG_RATIO: '-1' }, 'DIPTYCH_LOG_RATIO is "-1"; it must be a number of 0 or more'],
    [{ DIPTYCH_LOG_RATIO: 'Infinity' }, 'DIPTYCH_LOG_RATIO is "Infinity"; it must be a number of 0 or more'],
    [{ DIPTYCH_LOG_SYNC: 'yes' }, 'DIPTYCH_LOG_SYNC is "yes"; it must be true or false'],
    [{ DIPTYCH_LOG_REPORT: 'Loop' }, 'DIPTYCH_LOG_REPORT is "Loop"; it must be one of loop, worker'],
    [
      { DIPTYCH_LOG_API_KEY: 'hunter2' },
      'DIPTYCH_LOG_API_KEY is set to a value that is not shown; it must be text of 8 or more characters',
    ],
  ])('refuse %j in one sentence', (variables, sentence) => {
    expect(problemsOf(() => read(variables))).toEqual([sentence]);
  });

  it('name every bad value at once', () => {
    expect(problemsOf(() => read({ DIPTYCH_LOG_SYNC: 'yes', DIPTYCH_LOG_RATIO: 'x' }))).toHaveLength(2);
  });

  it('refuse a variable of a hosted part that is none of its settings, with a suggestion', () => {
    const check = (variables: Record<string, string>) => problemsOf(() => new Environment(variables).check([LOG]));
    expect(check({ DIPTYCH_LOG_DATADIR: 'x' })).toEqual([
      'DIPTYCH_LOG_DATADIR is no setting of this program; did you mean DIPTYCH_LOG_DATA_DIR?',
    ]);
    expect(check({ DIPTYCH_LOG_SOMETHING_ELSE: 'x' })[0]).toMatch(/known are DIPTYCH_LOG_DATA_DIR, DIPTYCH_LOG_PARTITIONS/);
    expect(check({ DIPTYCH_CACHE_X: 'of a part that runs elsewhere', DIPTYCH_SEED: '1', HOME: '/' })).toEqual([]);
  });

  it('are checked together, once each of them is allowed by itself', async () => {
    const properties = { low: Type.Integer({ default: 1, description: 'd' }), high: Type.Integer({ default: 2, description: 'd' }) };
    const RANGE = defineSettings('range', properties, async ({ low, high }) => {
      if (low > high) throw new SettingsError([`the range from ${low} to ${high} is empty`]);
    });
    const verify = (variables: Record<string, string>) => new Environment(variables).verify([RANGE, RANGE]);
    await verify({});
    await expect(verify({ DIPTYCH_RANGE_LOW: '3' })).rejects.toMatchObject({ problems: ['the range from 3 to 2 is empty'] });
    await expect(verify({ DIPTYCH_RANGE_LOW: 'x' })).rejects.toThrow('DIPTYCH_RANGE_LOW is "x"');
  });

  it('leave the variables alone that share a prefix but are for others', () => {
    const NATS = defineSettings('nats', { url: Type.String({ default: 'x', description: 'd' }) });
    expect(problemsOf(() => new Environment({ DIPTYCH_NATS_SERVER: '/usr/bin/nats-server' }).check([NATS]))).toEqual([]);
  });

  it('cannot be defined without a description, or without a value to fall back on', () => {
    expect(() => defineSettings('a', { b: Type.String({ default: 'x' }) })).toThrow('DIPTYCH_A_B has no description');
    expect(() => defineSettings('a', { b: Type.String({ description: 'd' }) })).toThrow('DIPTYCH_A_B has no default');
  });
});
