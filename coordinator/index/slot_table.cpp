#include "coordinator/index/slot_table.h"

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

constexpr size_t kMinPlaces = 4;

// Shares of the places in use, in percent. After a resize the share is between the two bounds, so
// that the next resize is a good part of the entries away.
constexpr size_t kMinUsed = 52, kUsedAfterResize = 65, kMaxUsed = 80;

size_t places_for(size_t n_entries) {
  return std::max(kMinPlaces, (n_entries * 100 + kUsedAfterResize - 1) / kUsedAfterResize);
}

}  // namespace

size_t SlotTable::place_of(uint64_t key) const {
  size_t i = home(key);
  while (places_[i].slots != 0 && places_[i].key != key) i = after(i);
  return i;
}

SlotMask SlotTable::find(uint64_t key) const {
  return places_.empty() ? 0 : places_[place_of(key)].slots;
}

bool SlotTable::insert(uint64_t key, SlotMask slots) {
  if ((n_entries_ + 1) * 100 > places_.size() * kMaxUsed) resize(places_for(n_entries_ + 1));
  Place& place = places_[place_of(key)];
  if ((place.slots & slots) == slots) return false;
  if (place.slots == 0) ++n_entries_;
  place = {.key = key, .slots = place.slots | slots};
  return true;
}

bool SlotTable::erase(uint64_t key, SlotMask slots) {
  if (places_.empty()) return false;
  const size_t i = place_of(key);
  if ((places_[i].slots & slots) == 0) return false;
  places_[i].slots &= ~slots;
  if (places_[i].slots == 0) {
    free_place(i);
    shrink_if_sparse();
  }
  return true;
}

void SlotTable::erase_all(SlotMask slots) {
  for (size_t i = 0; i < places_.size();) {
    Place& place = places_[i];
    const SlotMask left = place.slots & ~slots;
    const bool becomes_free = place.slots != 0 && left == 0;
    place.slots = left;
    if (becomes_free) {
      free_place(i);  // another entry may be at i now
    } else {
      ++i;
    }
  }
  shrink_if_sparse();
}

// The entries that follow move back over the hole, up to the next free place, except those that
// would come to lie before their home:
//
//   home:    a   a   c   b        hole at 0: the second a moves to 0, then b to 1;
//   place:   0   1   2   3        c is at home and stays
void SlotTable::free_place(size_t hole) {
  for (size_t i = after(hole); places_[i].slots != 0; i = after(i)) {
    if (distance(home(places_[i].key), i) < distance(hole, i)) continue;
    places_[hole] = places_[i];
    hole = i;
  }
  places_[hole] = {};
  --n_entries_;
}

void SlotTable::shrink_if_sparse() {
  if (n_entries_ == 0) return resize(0);
  const size_t wanted = places_for(n_entries_);
  if (n_entries_ * 100 < places_.size() * kMinUsed && wanted < places_.size()) resize(wanted);
}

void SlotTable::resize(size_t n_places) {
  const std::vector<Place> before = std::exchange(places_, std::vector<Place>(n_places));
  for (const Place& place : before) {
    if (place.slots != 0) places_[place_of(place.key)] = place;
  }
}

}  // namespace lockstep
