import { features as first } from './features.ts'
import { heldFeatures } from './held-features.ts'
import { recoveryFeatures } from './recovery-features.ts'
import { safetyFeatures } from './safety-features.ts'
import { warmFeatures } from './warm-features.ts'

/** Everything that can be switched off. */
export const features = [
  ...first,
  ...heldFeatures,
  ...recoveryFeatures,
  ...warmFeatures,
  ...safetyFeatures,
]
