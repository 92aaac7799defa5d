/** Where a node finds what kubelet is told about. */
export type KubeletPlaces = {
  dnsAddress: string
  socket: string
  ca: string
  certificate: string
  key: string
  resolvConf: string
}

/** Configuration of kubelet that nodes of every kind share. */
export function kubeletConfig(at: KubeletPlaces) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: 'cgroupfs',
    failSwapOn: false,
    containerRuntimeEndpoint: `unix://${at.socket}`,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: at.ca },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: at.certificate,
    tlsPrivateKeyFile: at.key,
    resolvConf: at.resolvConf,
    clusterDNS: [at.dnsAddress],
    clusterDomain: 'cluster.local',
    // The disk belongs to the machine's owner: no test may start to evict because it is nearly full.
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
    },
    imageGCHighThresholdPercent: 100,
    syncFrequency: '10s',
    serializeImagePulls: false,
    registryPullQPS: 0,
    eventRecordQPS: 0,
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
  }
}

/** Configuration of kube-proxy. */
export function proxyConfig(at: { name: string; kubeconfig: string; podRange: string }) {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clientConnection: { kubeconfig: at.kubeconfig },
    clusterCIDR: at.podRange,
    hostnameOverride: at.name,
    conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    metricsBindAddress: '127.0.0.1:10249',
    healthzBindAddress: '127.0.0.1:10256',
  }
}

/** The network of a node's pods; addresses that are taken are written down in `dataDir`. */
export function cniConfig(podRange: string, dataDir: string) {
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir,
          ranges: [[{ subnet: podRange }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  }
}
