import { describe, expect, it } from 'vitest'
import {
  containerDirectories,
  containerIn,
  inContainer,
  inPod,
  parseCgroupMounts,
  parseMembership,
  parseStat,
} from './cgroup.ts'

const id = '4f0c9b1d2e3a4f0c9b1d2e3a4f0c9b1d2e3a4f0c9b1d2e3a4f0c9b1d2e3a4f0c'
const uid = '8d1c4d7e-5b61-4a0f-9b53-0d5f9f6f2c11'
const underscored = uid.replaceAll('-', '_')
const systemd = `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${underscored}.slice`

describe('a container is recognised by its cgroup name', () => {
  it.each([
    ['cgroupfs', `/kubepods/burstable/pod${uid}/${id}`],
    ['cgroupfs, guaranteed', `/kubepods/pod${uid}/${id}`],
    ['systemd, containerd', `${systemd}/cri-containerd-${id}.scope`],
    ['systemd, docker', `${systemd}/docker-${id}.scope`],
    ['systemd, cri-o', `${systemd}/crio-${id}.scope`],
    ['cgroupfs, cri-o', `/kubepods/besteffort/pod${uid}/crio-${id}`],
    ['a process further down', `/kubepods/burstable/pod${uid}/${id}/init.scope`],
    ['a node that is a container itself', `/docker/abc/kubelet/kubepods/pod${uid}/${id}`],
    ['a cgroup namespace of our own', `/../../burstable/pod${uid}/${id}`],
  ])('%s', (_name, path) => {
    expect(inContainer(path, id)).toBe(true)
    expect(inPod(path, uid)).toBe(true)
    expect(containerIn(path, uid)).toBe(id)
  })

  it.each([
    ['its monitor', `${systemd}/crio-conmon-${id}.scope`],
    ['another container', `/kubepods/burstable/pod${uid}/${id.replace('4', '5')}`],
    ['a longer id', `/kubepods/burstable/pod${uid}/0${id}`],
    ['the pod alone', `/kubepods/burstable/pod${uid}`],
    ['the root', '/'],
  ])('not %s', (_name, path) => {
    expect(inContainer(path, id)).toBe(false)
  })

  it.each([
    ['its monitor', `${systemd}/crio-conmon-${id}.scope`],
    ['the pod alone', `/kubepods/burstable/pod${uid}`],
    ['a container that was made in another one', `/docker/${id}/pod${uid}/init`],
    ['the root', '/'],
  ])('none is found by the pod in %s', (_name, path) => {
    expect(containerIn(path, uid)).toBeNull()
  })

  it('not by the uid of another pod', () => {
    const path = `/kubepods/burstable/pod${uid.replace('8', '9')}/${id}`
    expect(inPod(path, uid)).toBe(false)
    expect(containerIn(path, uid)).toBeNull()
  })
})

const mountsV1 = `
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate`

describe('the container has one directory in each hierarchy', () => {
  it('version 1, hybrid: the unified hierarchy that only knows the root is left out', () => {
    const path = `/kubepods/burstable/pod${uid}/${id}`
    const text = `9:name=systemd:${path}\n8:pids:${path}\n1:cpu,cpuacct:${path}\n0::/\n`
    const found = containerDirectories(parseMembership(text), parseCgroupMounts(mountsV1), id)
    expect(found).toEqual([
      { dir: `/sys/fs/cgroup/systemd${path}`, controllers: ['name=systemd'] },
      { dir: `/sys/fs/cgroup/pids${path}`, controllers: ['pids'] },
      { dir: `/sys/fs/cgroup/cpu,cpuacct${path}`, controllers: ['cpu', 'cpuacct'] },
    ])
  })

  it('version 2, and a process below the container stands for the container', () => {
    const mounts = '29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate'
    const text = `0::${systemd}/cri-containerd-${id}.scope/app/worker\n`
    const found = containerDirectories(parseMembership(text), parseCgroupMounts(mounts), id)
    expect(found).toEqual([
      { dir: `/sys/fs/cgroup${systemd}/cri-containerd-${id}.scope`, controllers: [] },
    ])
  })

  it('a node inside a container sees only its own part of the hierarchy', () => {
    const mounts = '32 31 0:29 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu'
    const text = `1:cpu:/docker/abc/kubepods/pod${uid}/${id}`
    const found = containerDirectories(parseMembership(text), parseCgroupMounts(mounts), id)
    expect(found.map(({ dir }) => dir)).toEqual([`/sys/fs/cgroup/cpu/kubepods/pod${uid}/${id}`])
  })

  it('a hierarchy whose visible part does not hold the container is left out', () => {
    const mounts = '32 31 0:29 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu'
    const text = `1:cpu:/kubepods/pod${uid}/${id}`
    expect(containerDirectories(parseMembership(text), parseCgroupMounts(mounts), id)).toEqual([])
  })
})

describe('/proc/<pid>/stat', () => {
  const fields = 'S 7 7 7 0 -1 4194560 100 0 0 0 12 3 0 0 20 0 1 0 98765 0 0'

  it('is read behind the name, whatever the name holds', () => {
    expect(parseStat(`42 (a) b (c) ${fields}`)).toEqual({
      state: 'S',
      parent: 7,
      cpuTicks: 15,
      startTicks: 98765,
    })
  })

  it('is nothing for a process that has gone', () => {
    expect(parseStat('')).toBeNull()
  })
})
