//! Compile-time assertions of the types that may move between threads.

use super::{
    CommandConsumer, CommandProducer, CommandRing, EventConsumer, EventProducer, EventRing, FrameConsumer,
    FrameProducer, FrameRing, FrameSlot, FrameView, OverlayConsumer, OverlayProducer, OverlayRing,
    OverlaySlot, SharedRegion, SlotConsumer, SlotMut, SlotProducer, SlotRing,
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}

/// Fails to compile if the type has the trait: then both implementations below fit, and the call is ambiguous.
macro_rules! assert_not {
    ($trait:path: $($type:ty),+ $(,)?) => {
        const _: () = {
            trait Probe<Which> {
                const SEEN: () = ();
            }
            struct Any;
            struct HasTrait;
            impl<T: ?Sized> Probe<Any> for T {}
            impl<T: ?Sized + $trait> Probe<HasTrait> for T {}
            $(let _ = <$type as Probe<_>>::SEEN;)+
        };
    };
}

type Rings<'a> = (SlotRing<'a>, FrameRing<'a>, OverlayRing<'a>, CommandRing<'a>, EventRing<'a>);
type Producers<'a> =
    (SlotProducer<'a>, FrameProducer<'a>, OverlayProducer<'a>, CommandProducer<'a>, EventProducer<'a>);
type Consumers<'a> =
    (SlotConsumer<'a>, FrameConsumer<'a>, OverlayConsumer<'a>, CommandConsumer<'a>, EventConsumer<'a>);
type Slots<'a> = (SlotMut<'a, 'a>, FrameSlot<'a, 'a>, OverlaySlot<'a, 'a>, FrameView<'a>);

const _: () = {
    // Any thread may claim the sides of a ring.
    is_send::<Rings<'_>>();
    is_sync::<Rings<'_>>();
    // The handle of a side, and the slots that it lends out, may move to the thread that uses them.
    is_send::<Producers<'_>>();
    is_send::<Consumers<'_>>();
    is_send::<Slots<'_>>();
};

// A side has one owner: its handle is never copied.
assert_not!(Clone: SlotProducer<'_>, FrameProducer<'_>, OverlayProducer<'_>, CommandProducer<'_>, EventProducer<'_>);
assert_not!(Clone: SlotConsumer<'_>, FrameConsumer<'_>, OverlayConsumer<'_>, CommandConsumer<'_>, EventConsumer<'_>);
assert_not!(Clone: SlotMut<'_, '_>, FrameSlot<'_, '_>, OverlaySlot<'_, '_>);
// A region is a bare pointer until a ring is laid out or found in it.
assert_not!(Clone: SharedRegion<'_>);
assert_not!(Send: SharedRegion<'_>);
assert_not!(Sync: SharedRegion<'_>);
