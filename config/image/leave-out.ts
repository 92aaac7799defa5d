import type { Plugin } from 'esbuild'

/** A module that stands for another one. */
type StandIn = {
  /** as it is imported */
  of: RegExp
  /** part of the path of the files that import it; without one: any */
  in?: string
  contents: string | ((path: string) => string)
}

/** Nothing of it is there: any name can be imported, and none can be made. */
const nothing = `
class LeftOut { constructor() { throw new Error('this part of a package is not in the image') } }
// names are looked up on the prototype, so that every one is found
module.exports = Object.create(new Proxy({}, { get: () => LeftOut }))`

/** The module itself, loaded when something of it is used for the first time. */
const late = (path: string): string => `
let loaded
const get = (_, name) => name === '__esModule' ? false : (loaded ??= require(${JSON.stringify(path)}))[name]
module.exports = Object.create(new Proxy({}, { get }))`

/** The same for a module that is a function. */
const lateFunction = (path: string): string => `
module.exports = (...given) => require(${JSON.stringify(path)})(...given)`

const standIns: readonly StandIn[] = [
  // Connections and proxies; not fetch, WebSocket, caches and mocks. A name that is missing here fails the build.
  {
    of: /^undici$/,
    contents: `
      import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
      import api from 'undici/lib/api/index.js'
      Object.assign(Dispatcher.prototype, api)
      export { default as Agent } from 'undici/lib/dispatcher/agent.js'
      export { default as ProxyAgent } from 'undici/lib/dispatcher/proxy-agent.js'
      export { default as EnvHttpProxyAgent } from 'undici/lib/dispatcher/env-http-proxy-agent.js'
      export { default as errors } from 'undici/lib/core/errors.js'`,
  },
  // an experimental parser beside the one that is used
  { of: /^\.\/parser-h1\.js$/, in: '/undici/', contents: 'exports.getMiloEnabled = () => false' },
  { of: /^\.\/client-h2\.js$/, in: '/undici/', contents: lateFunction },
  // Its kubeconfig is used (and its WebSockets, by their path). lib/kube talks JSON by itself.
  {
    of: /^@kubernetes\/client-node$/,
    contents: `export { KubeConfig } from '@kubernetes/client-node/dist/config.js'`,
  },
  { of: /\/gen\/index\.js$/, in: '/client-node/', contents: nothing },
  // kubeconfig files, and ways to sign in and to get through; a service account needs none of them
  {
    of: /^(js-yaml|openid-client|jsonpath-plus|socks|socks-proxy-agent|hpagent)$/,
    in: '/client-node/',
    contents: late,
  },
  // what k8s-operator asks by it is asked by our own client
  { of: /^gaxios$/, in: '/k8s-operator/', contents: nothing },
  // few documents hold YAML in a text
  { of: /^yaml$/, contents: late },
]

/** Keeps out of the programs what they do not use of their packages, and out of memory what they may never use. */
export const leaveOut: Plugin = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    for (const { of, in: place = '', contents } of standIns)
      onResolve({ filter: of }, ({ path, importer, namespace, resolveDir }) => {
        // what a stand-in imports is the real one
        if (namespace === 'stand-in' || !importer.includes(place)) return undefined
        const text = typeof contents === 'string' ? contents : contents(path)
        const pluginData = { contents: text, resolveDir }
        return { path: `${path} for ${importer}`, namespace: 'stand-in', pluginData }
      })
    onLoad({ filter: /.*/, namespace: 'stand-in' }, ({ pluginData }) => pluginData)
  },
}
