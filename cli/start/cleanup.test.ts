import { describe, expect, it } from 'vitest'
import { type CleanupEvent, createCleanup, type Made, orAborted } from './cleanup.ts'

const live = () => new AbortController().signal

function recorder() {
  const removed: string[] = []
  const make = (what: string, remove?: Made['remove']): Made => ({
    what,
    byHand: `remove ${what}`,
    remove: remove ?? (async () => void removed.push(what)),
  })
  return { removed, make }
}

describe('clean-up', () => {
  it('removes in the opposite order of making', async () => {
    const { removed, make } = recorder()
    const cleanup = createCleanup()
    for (const what of ['cluster', 'chart', 'demo', 'experiment']) cleanup.add(make(what))
    expect(await cleanup.run(live())).toEqual([])
    expect(removed).toEqual(['experiment', 'demo', 'chart', 'cluster'])
    expect(cleanup.left()).toEqual([])
  })

  it('goes on after a failure and says what is left and how to remove it', async () => {
    const { removed, make } = recorder()
    const cleanup = createCleanup()
    cleanup.add(make('cluster'))
    cleanup.add(make('chart', () => Promise.reject(new Error('no answer'))))
    cleanup.add(make('demo'))
    const events: CleanupEvent[] = []
    const left = await cleanup.run(live(), (e) => events.push(e))
    expect(left).toEqual([{ what: 'chart', byHand: 'remove chart', why: 'no answer' }])
    expect(removed).toEqual(['demo', 'cluster'])
    expect(events.filter((e) => e.event !== 'removing').map((e) => `${e.event} ${e.what}`)).toEqual(
      ['removed demo', 'failed chart', 'removed cluster'],
    )
  })

  it('tries again only what is left', async () => {
    const { removed, make } = recorder()
    const cleanup = createCleanup()
    let broken = true
    cleanup.add(make('cluster'))
    cleanup.add(
      make('chart', async () => {
        if (broken) throw new Error('no answer')
        removed.push('chart')
      }),
    )
    await cleanup.run(live())
    broken = false
    expect(await cleanup.run(live())).toEqual([])
    expect(removed).toEqual(['cluster', 'chart'])
  })

  it('counts as removed what went with the thing that held it', async () => {
    const { make } = recorder()
    const cleanup = createCleanup()
    const fails = () => Promise.reject(new Error('no answer'))
    cleanup.add(make('folder'))
    cleanup.add({ ...make('cluster'), holdsRest: true })
    cleanup.add(make('experiment', fails))
    expect(await cleanup.run(live())).toEqual([])
    expect(cleanup.left()).toEqual([])
  })

  it('still lists it when the thing that holds it could not be removed', async () => {
    const { make } = recorder()
    const cleanup = createCleanup()
    const fails = () => Promise.reject(new Error('no answer'))
    cleanup.add({ ...make('cluster', fails), holdsRest: true })
    cleanup.add(make('experiment', fails))
    expect((await cleanup.run(live())).map((l) => l.what)).toEqual(['experiment', 'cluster'])
  })

  it('stops at once when told to, also inside a removal, and lists all that is left', async () => {
    const { removed, make } = recorder()
    const stop = new AbortController()
    const cleanup = createCleanup()
    cleanup.add(make('cluster'))
    cleanup.add(
      make('chart', () => {
        stop.abort(new Error('second Ctrl-C'))
        return new Promise(() => {})
      }),
    )
    cleanup.add(make('demo'))
    const left = await cleanup.run(stop.signal)
    expect(removed).toEqual(['demo'])
    expect(left.map((l) => l.what)).toEqual(['chart', 'cluster'])
    expect(cleanup.left().map((l) => l.what)).toEqual(['chart', 'cluster'])
  })
})

describe('orAborted', () => {
  it('gives the result when nothing is aborted', async () => {
    expect(await orAborted(Promise.resolve(7), live())).toBe(7)
  })

  it('throws the reason of the signal, before and during the wait', async () => {
    const reason = new Error('enough')
    await expect(orAborted(new Promise(() => {}), AbortSignal.abort(reason))).rejects.toBe(reason)
    const stop = new AbortController()
    const waiting = orAborted(new Promise(() => {}), stop.signal)
    stop.abort(reason)
    await expect(waiting).rejects.toBe(reason)
  })
})
