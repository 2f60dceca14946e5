import { expect, it } from 'vitest';
import { outcomeOf } from './selfcheck.js';

const check = (outcome: 'pass' | 'fail' | 'cannot say') => ({ name: '', outcome, figure: '' });

it('fails on one failure, whatever else; cannot say when a check cannot or when it ended early; passes otherwise', () => {
  expect(outcomeOf([check('pass'), check('pass')], undefined)).toBe('pass');
  expect(outcomeOf([check('pass'), check('cannot say')], undefined)).toBe('cannot say');
  expect(outcomeOf([check('pass')], 'stopped by a signal')).toBe('cannot say');
  expect(outcomeOf([check('fail'), check('cannot say')], 'stopped by a signal')).toBe('fail');
});
