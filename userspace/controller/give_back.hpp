// SPDX-License-Identifier: Apache-2.0
// What is no longer needed is given back.
//
// Demand that neither presses on a limit of ours nor is lost is a calm. After one of the policy's `shrinkAfter` half of
// the limit is given back, or as much as leaves
//
//   - what the rule of a raise makes of the most that was in use in this time, so that the same demand raises nothing;
//   - the value that was there before us, and the policy's min;
//   - the largest value of ours that it bounds, so queues go before somaxconn;
//   - where it follows another one, what it was to that one: buckets keep the chains of nf_conntrack_max, with one
//     rehash for each step of it, in which entries are few by then.
//
// Then, or where too much was in use, the next calm begins. The gate holds it to mode, cooldown and changes an
// hour, as any write, and to trials: what is on one is left alone.
#pragma once

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

// Notes what is used of what we hold.
void watch_use(Gate& gate);

void give_back_rule(Gate& gate);

// What is charged and was not used for `release_after` is charged no more, also where the limit stays: down to what the
// rule of a raise makes of the most that was in use in this time. What is used of it later counts again. Of what is in
// use without being seen (fragments between two looks) the charge stays as long as the raise. What was expected of
// connections goes with them, when so many were gone for as long.
void release_rule(Gate& gate);

} // namespace bpftune::controller
