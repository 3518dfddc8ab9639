//! scratch
use std::time::Instant; use std::sync::Arc; use cola_data::*;
fn main() {
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let t = Instant::now();
    let d = LeRobot::open(&root).unwrap();
    println!("open {:?}", t.elapsed());
    let o = ClipOptions { camera: None, frames: 2, frame_stride: 1, region: Region { top: 0.2, left: 0.2, height: 0.625, width: 0.625 }, store: 1000 };
    let t = Instant::now();
    let c = EpisodeClips::load(&d, "train", &o, &mut |_, _| {}).unwrap();
    println!("load train {:?}, {} clips", t.elapsed(), c.len());
    let f = c.clip(0).unwrap().frames; println!("{}x{}", f.height, f.width);
    let l = Loader::new(Arc::new(c), LoaderConfig { batch: 32, lam_size: 32, world_size: 32, crop: CropConfig::paper() }, 1).unwrap();
    for aug in [false, true] {
    let t = Instant::now();
    for s in 0..200 { l.batch(s, aug, &candle_core::Device::Cpu).unwrap(); }
    println!("batch {aug} {:?}", t.elapsed() / 200); }
    let o = ClipOptions { region: Region::FULL, frames: 16, ..o };
    let t = Instant::now();
    let c = EpisodeClips::load(&d, "test", &o, &mut |_, _| {}).unwrap();
    println!("load test {:?}", t.elapsed());
    let mut out = Vec::new();
    for i in 0..c.len() { out.extend(c.clip(i).unwrap().frames.rgb); }
    std::fs::write("/tmp/test_frames.rgb", out).unwrap();
}
