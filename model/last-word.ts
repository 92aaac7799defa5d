/**
 * What a fault program leaves as its container's termination message once its journal is gone: who did not hear its
 * good-bye reads it in the pod's status. A type, as the program imports nothing else from here.
 */
export type LastWord = 'all is put back and reported; the journal is gone'
export const lastWord: LastWord = 'all is put back and reported; the journal is gone'
