/* Subprograms: functions that the verifier looks at once for each program, whatever calls them and however often.
 *
 * What:  a function that is neither static nor a handler, takes a u64 and returns an int, and is called as
 *        SUBPROGRAM(name)(number). agent/kernel/subprograms.py names them all, defines SUBPROGRAM_name, and puts them
 *        behind the programs that call them.
 * Why:   what is inlined into a loop is verified once for each turn. A global function is verified once, for any argument,
 *        and a call of it costs the verifier one instruction. Before Linux 5.13 it can be given numbers only; so it looks
 *        up in a map what it works on.
 * Lost without it: nothing by itself.
 */
#ifndef PYROVER_SUBPROGRAMS_H
#define PYROVER_SUBPROGRAMS_H

typedef int (*subprogram)(u64);

/* Compiled to the call of a kernel function whose number the kernel does not have, until the programs are linked. */
#define SUBPROGRAM(name) ((subprogram)SUBPROGRAM_##name)

#endif
