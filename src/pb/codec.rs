//! Protobuf with buffers of the size of our messages. tonic's own are 8 KiB each and new for every call, beyond what an
//! allocator keeps at hand.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::BufferSettings;
use tonic_prost::ProstCodec;
use tonic_prost::ProstDecoder;
use tonic_prost::ProstEncoder;

/// Holds nearly every message at once; longer ones make it grow.
const MESSAGE: usize = 1000;
/// tonic's own: from here on what is encoded goes out.
const YIELD_THRESHOLD: usize = 32 * 1024;

/// Writes `T`, reads `U`.
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(MESSAGE, YIELD_THRESHOLD)
}
