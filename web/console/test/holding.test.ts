import assert from 'node:assert/strict'
import { test } from 'node:test'
import { colleagueOf, keptBy } from '../src/lib/holding'
import type { Holder } from '../src/lib/types'

const ana = { id: 'agt_ana', name: 'Ana' }
const held = (state: Holder['state'], agent: Holder['agent'] = null): Holder => ({
  state, agent, assistant: null, queue: null, snoozed_until: null, outcome: null,
})

test('what a colleague holds is kept from those without the right to take it', () => {
  assert.deepEqual(keptBy(held('human', ana), 'agt_budi', false), ana)
  assert.equal(keptBy(held('human', ana), 'agt_budi', true), null)
})

test('nobody is kept from what they hold, nor from what no colleague holds', () => {
  assert.equal(keptBy(held('human', ana), 'agt_ana', false), null)
  for (const holder of [undefined, held('human'), held('assistant'), held('closed'), held('closed', ana)])
    assert.equal(keptBy(holder, 'agt_budi', false), null)
})

test('a colleague is somebody else', () => {
  assert.deepEqual(colleagueOf(held('human', ana), 'agt_budi'), ana)
  assert.equal(colleagueOf(held('human', ana), 'agt_ana'), null)
})
