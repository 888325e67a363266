// SPDX-License-Identifier: Apache-2.0
// A value of ours is another one now: who set it, and whose it is from now on.
//
//   onConflict: yield       theirs, until restart or reload
//   onConflict: reassert    one that was set below ours is put back, at most `reasserts_an_hour` times, then it is
//                           theirs; so is one that was set above ours, at once
//
// The value of a socket is its holder's, by whom it was set again: listen() may be called on a socket that listens
// already, and nobody else can. That is another wish of the application, whatever the policy says of conflicts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

// Where BPF knows no cookie (before 5.12) the inode number has to do: the write is a moment old.
bool is_same_netns(const NetnsId& a, const NetnsId& b);

std::string name_of(const SysctlWrite& write); // "kube-proxy (pid 812)"

// "kube-proxy (pid 812) set it to 131072"; "someone else ..." where nobody was seen to.
std::string who_set(const Snapshot& snapshot, const ObjectKey& object, const Held& held, std::uint64_t found);

// "runc (pid 812)", who was seen to make the value what it is before anything of ours was there; nullopt: nobody was.
std::optional<std::string> who_had_set(const Snapshot& snapshot, const ObjectKey& object, std::uint64_t value);

// Lets go of the sockets whose application has called listen() again.
void release_sockets(Gate& gate);

// Whether the object stays ours: its value is put back, now or when a write may be tried again. Else a decision says
// that it is yielded, and the caller lets go of it.
bool stays_ours(Gate& gate, const Snapshot& snapshot, const ObjectKey& object, std::uint64_t found);

} // namespace bpftune::controller
